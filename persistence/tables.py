"""The schema: one SQLAlchemy Core description, which migrations are compared with and documents drawn from.

What a table cannot say in a constraint (immutable entries, histories without gaps, two entries per transfer)
triggers say in the migrations; `tests/integration/test_schema.py` attacks each of them.

The two hot tables, `transfers` and `entries`, have no insert-time foreign keys: docs/decisions/0004 says what
stands in their place, and `persistence.references` what they refer to all the same.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

Time = DateTime(timezone=True)

users = Table(
    "users",
    metadata,
    Column("username", Text, primary_key=True, comment="What a person logs in with; never changes"),
    Column("full_name", Text, nullable=False),
    Column("email", Text, nullable=False, comment="As typed; unique without regard to case"),
    Column(
        "is_email_verified",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Of the present address; another one has to be verified anew",
    ),
    Column("password_hash", Text, nullable=False, comment="argon2id, in its own self-describing format"),
    Column(
        "roles",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{depositor}'"),
        comment="Any of depositor, banker, admin, auditor; who has none is disabled",
    ),
    Column("password_changed_at", Time, nullable=False, server_default=func.now()),
    Column("created_at", Time, nullable=False, server_default=func.now()),
    CheckConstraint("username ~ '^[a-z0-9_]{3,32}$'", name="username"),
    CheckConstraint(
        "roles <@ array['depositor', 'banker', 'admin', 'auditor']::text[] and array_position(roles, null) is null",
        name="roles",
    ),
    comment="Everybody who can log in",
)
Index("users_email_key", func.lower(users.c.email), unique=True)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True, comment="Named in the session's tokens"),
    Column("username", ForeignKey("users.username"), nullable=False, index=True),
    Column(
        "refresh_token_hash", LargeBinary, nullable=False, comment="SHA-256 of the newest; it is nowhere itself"
    ),
    Column("user_agent", Text, nullable=False, comment="At login or newest renewal"),
    Column("client_address", Text, nullable=False, comment="At login or newest renewal"),
    Column("created_at", Time, nullable=False, server_default=func.now()),
    Column("last_used_at", Time, nullable=False, server_default=func.now(), comment="Login or newest renewal"),
    Column("expires_at", Time, nullable=False, comment="The end that renewal does not move"),
    Column("ended_at", Time, comment="Set when the session was ended before its time"),
    UniqueConstraint("refresh_token_hash"),
    CheckConstraint("expires_at > created_at", name="expires_at"),
    comment="Logins that may be renewed until they expire or are ended",
)
Index("sessions_ended_at_idx", sessions.c.ended_at, postgresql_where=sessions.c.ended_at.is_not(None))

email_verifications = Table(
    "email_verifications",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("username", ForeignKey("users.username"), nullable=False, index=True),
    Column("email", Text, nullable=False, comment="The address that was asked about"),
    Column("secret_hash", LargeBinary, nullable=False, comment="SHA-256 of the code in the mail"),
    Column("created_at", Time, nullable=False, server_default=func.now()),
    Column("expires_at", Time, nullable=False),
    Column("used_at", Time, comment="When the link was followed; it is good once"),
    CheckConstraint("expires_at > created_at", name="expires_at"),
    comment="Links mailed to prove that an address can be read by its user",
)

password_resets = Table(
    "password_resets",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("username", ForeignKey("users.username"), nullable=False, index=True),
    Column("email", Text, nullable=False, comment="The address it was mailed to"),
    Column("secret_hash", LargeBinary, nullable=False, comment="SHA-256 of the code in the mail"),
    Column("created_at", Time, nullable=False, server_default=func.now()),
    Column("expires_at", Time, nullable=False),
    Column("used_at", Time, comment="When the link was used, or became void with another password"),
    CheckConstraint("expires_at > created_at", name="expires_at"),
    comment="Links mailed to choose a new password",
)

security_events = Table(
    "security_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("created_at", Time, nullable=False, server_default=func.clock_timestamp()),
    Column("kind", Text, nullable=False, comment="login, login_failed, refresh_reused, roles_changed..."),
    Column("username", Text, comment="Whom it happened to; null where nobody has the name that was tried"),
    Column("actor", Text, comment="Who did it; null where nobody was logged in"),
    Column("client_address", Text, nullable=False, server_default=text("''")),
    Column("user_agent", Text, nullable=False, server_default=text("''")),
    Column("detail", Text, nullable=False, server_default=text("''"), comment="Never a token or a password"),
    comment="What happened to users' identities; append-only",
)
Index("security_events_username_idx", security_events.c.username, security_events.c.id)
Index(
    "security_events_known_idx",
    security_events.c.username,
    func.client_network(security_events.c.client_address),
    postgresql_where=text(
        "kind IN ('login', 'email_verified', 'password_changed') AND (actor IS NULL OR actor = username)"
    ),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column(
        "owner", ForeignKey("users.username"), index=True, comment="Null for the bank's settlement accounts"
    ),
    Column("name", Text, nullable=False, server_default=text("''"), comment="What the owner calls it"),
    Column("currency", Text, nullable=False, comment="ISO 4217"),
    Column("kind", Text, nullable=False, server_default=text("'customer'"), comment="customer or settlement"),
    Column(
        "balance", BigInteger, nullable=False, server_default=text("0"), comment="Minor units; sum of entries"
    ),
    Column("overdraft_limit", BigInteger, nullable=False, server_default=text("0"), comment="Minor units"),
    Column("status", Text, nullable=False, server_default=text("'active'"), comment="active, frozen or closed"),
    Column("seq", BigInteger, nullable=False, server_default=text("0"), comment="Number of the newest entry"),
    Column("created_at", Time, nullable=False, server_default=func.now()),
    Column("changed_at", Time, nullable=False, server_default=func.now(), comment="Time of the newest entry"),
    CheckConstraint("kind = 'settlement' or balance >= -overdraft_limit", name="balance"),
    CheckConstraint("overdraft_limit >= 0", name="overdraft_limit"),
    CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
    CheckConstraint("status in ('active', 'frozen', 'closed')", name="status"),
    CheckConstraint(
        "kind in ('customer', 'settlement') and (kind = 'settlement') = (owner is null)", name="kind"
    ),
    CheckConstraint("seq >= 0", name="seq"),
    comment="Accounts with their current balance; undeletable",
    # Balances change constantly and no index covers them: room in the page keeps updates heap-only.
    postgresql_with={"fillfactor": "70"},
)
Index(
    "accounts_settlement_key",
    accounts.c.currency,
    unique=True,
    postgresql_where=accounts.c.kind == text("'settlement'"),
)

transfer_id_blocks = Sequence("transfer_id_blocks", metadata=metadata)
"""Hands out blocks of transfer ids to processes; a block of number n holds the ids from n * 1000 on."""

transfers = Table(
    "transfers",
    metadata,
    Column(
        "id",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="From a block that transfer_id_blocks handed out: unique, not in order of commit",
    ),
    Column("from_account_id", BigInteger, nullable=False),
    Column("from_seq", BigInteger, nullable=False, comment="Entry of the source"),
    Column("to_account_id", BigInteger, nullable=False),
    Column("to_seq", BigInteger, nullable=False, comment="Entry of the target"),
    Column("amount", BigInteger, nullable=False, comment="Minor units"),
    Column("currency", Text, nullable=False, comment="That of both accounts"),
    Column("created_by", Text, nullable=False, comment="Username of who asked for it"),
    Column(
        "created_at",
        Time,
        nullable=False,
        comment="That of both entries; read after their accounts were locked",
    ),
    Column("status", Text, nullable=False, server_default=text("'posted'")),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("from_account_id <> to_account_id", name="sides"),
    CheckConstraint("from_seq > 0 and to_seq > 0", name="seq"),
    CheckConstraint("status = 'posted'", name="status"),
    comment="Money moved; immutable",
)

entries = Table(
    "entries",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="1, 2, 3... without gaps within the account"),
    Column("transfer_id", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False, comment="Minor units; negative where money left"),
    Column("balance_after", BigInteger, nullable=False, comment="Minor units"),
    Column("created_at", Time, nullable=False, comment="Never before the previous entry's"),
    PrimaryKeyConstraint("account_id", "seq"),
    CheckConstraint("amount <> 0", name="amount"),
    CheckConstraint("seq > 0", name="seq"),
    comment="Both sides of every transfer, as their accounts saw it; immutable",
)

idempotency_records = Table(
    "idempotency_records",
    metadata,
    Column("username", Text, nullable=False, comment="Whose key it is"),
    Column("key", Text, nullable=False, comment="Chosen by the client"),
    Column("fingerprint", LargeBinary, nullable=False, comment="Hash of the request the key was used for"),
    Column("refusal", Text, comment="The code of a refused request"),
    Column("transfer_id", BigInteger, comment="The transfer that was made"),
    Column("account_id", BigInteger, comment="The account that was opened"),
    Column("created_at", Time, nullable=False),
    PrimaryKeyConstraint("username", "key"),
    CheckConstraint("num_nonnulls(refusal, transfer_id, account_id) = 1", name="outcome"),
    CheckConstraint("length(key) between 1 and 255", name="key"),
    comment="What became of requests that came with an idempotency key, for a day",
)
Index("idempotency_records_created_at_idx", idempotency_records.c.created_at, postgresql_using="brin")

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False, comment="What the mail is for"),
    Column("sealed", LargeBinary, comment="The mail, encrypted; gone once it is known to be sent"),
    Column("created_at", Time, nullable=False, server_default=func.now()),
    Column("relayed_at", Time, comment="When it was handed to the mail queue"),
    Column("sent_at", Time, comment="When it was known to be sent, or given up for good"),
    CheckConstraint("(sealed is null) = (sent_at is not null)", name="sealed"),
    CheckConstraint("sent_at is null or relayed_at is not null", name="relayed"),
    comment="Mail to send, committed together with what it is about",
)
Index("outbox_waiting_idx", outbox.c.id, postgresql_where=outbox.c.relayed_at.is_(None))
Index("outbox_unsent_idx", outbox.c.id, postgresql_where=outbox.c.sent_at.is_(None))
