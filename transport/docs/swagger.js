// Swagger UI over our own description; the page's policy lets it talk to nobody else.
// What is typed under "Authorize" is forgotten when the page is left.

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

// Swagger UI itself takes an underscore in a link for the blank that it once stood for, and calls that an error.
// Our operations have underscores in their names, and no blanks.
function plainLinks() {
  const parseDeepLinkHash = (_, { layoutActions, layoutSelectors }) => (hash) => {
    if (!hash) return;
    const key = layoutSelectors.isShownKeyFromUrlHashArray(hash.replace(/^#!?\/?/, "").split("/"));
    layoutActions.show(key, true);
    layoutActions.scrollTo(key);
  };
  return { statePlugins: { layout: { wrapActions: { parseDeepLinkHash } } } };
}

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  plugins: [plainLinks],
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  filter: true,
  defaultModelsExpandDepth: 0,
  persistAuthorization: false,
  validatorUrl: null,
});
