import purerpc
import proto.transactions.v2.identity_pb2 as transactions_dot_v2_dot_identity__pb2
import proto.buf.validate.validate_pb2 as buf_dot_validate_dot_validate__pb2
import google.api.annotations_pb2 as google_dot_api_dot_annotations__pb2
import google.api.field_behavior_pb2 as google_dot_api_dot_field_behavior__pb2
import google.protobuf.timestamp_pb2 as google_dot_protobuf_dot_timestamp__pb2
import proto.transactions.v2.types_pb2 as transactions_dot_v2_dot_types__pb2


class IdentityServicer(purerpc.Servicer):
    async def CreateUser(self, input_message):
        raise NotImplementedError()

    async def GetUser(self, input_message):
        raise NotImplementedError()

    async def UpdateUser(self, input_message):
        raise NotImplementedError()

    async def GrantRoles(self, input_message):
        raise NotImplementedError()

    async def LoginUser(self, input_message):
        raise NotImplementedError()

    async def RenewAccess(self, input_message):
        raise NotImplementedError()

    async def LogoutUser(self, input_message):
        raise NotImplementedError()

    async def ListSessions(self, input_message):
        raise NotImplementedError()

    async def RevokeSession(self, input_message):
        raise NotImplementedError()

    async def VerifyEmail(self, input_message):
        raise NotImplementedError()

    async def ResendVerification(self, input_message):
        raise NotImplementedError()

    async def RequestPasswordReset(self, input_message):
        raise NotImplementedError()

    async def ConfirmPasswordReset(self, input_message):
        raise NotImplementedError()

    async def ListSecurityEvents(self, input_message):
        raise NotImplementedError()

    @property
    def service(self) -> purerpc.Service:
        service_obj = purerpc.Service(
            "transactions.v2.Identity"
        )
        service_obj.add_method(
            "CreateUser",
            self.CreateUser,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.CreateUserRequest,
                transactions_dot_v2_dot_identity__pb2.CreateUserResponse,
            )
        )
        service_obj.add_method(
            "GetUser",
            self.GetUser,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.GetUserRequest,
                transactions_dot_v2_dot_identity__pb2.GetUserResponse,
            )
        )
        service_obj.add_method(
            "UpdateUser",
            self.UpdateUser,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.UpdateUserRequest,
                transactions_dot_v2_dot_identity__pb2.UpdateUserResponse,
            )
        )
        service_obj.add_method(
            "GrantRoles",
            self.GrantRoles,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.GrantRolesRequest,
                transactions_dot_v2_dot_identity__pb2.GrantRolesResponse,
            )
        )
        service_obj.add_method(
            "LoginUser",
            self.LoginUser,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.LoginUserRequest,
                transactions_dot_v2_dot_identity__pb2.LoginUserResponse,
            )
        )
        service_obj.add_method(
            "RenewAccess",
            self.RenewAccess,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.RenewAccessRequest,
                transactions_dot_v2_dot_identity__pb2.RenewAccessResponse,
            )
        )
        service_obj.add_method(
            "LogoutUser",
            self.LogoutUser,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.LogoutUserRequest,
                transactions_dot_v2_dot_identity__pb2.LogoutUserResponse,
            )
        )
        service_obj.add_method(
            "ListSessions",
            self.ListSessions,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.ListSessionsRequest,
                transactions_dot_v2_dot_identity__pb2.ListSessionsResponse,
            )
        )
        service_obj.add_method(
            "RevokeSession",
            self.RevokeSession,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.RevokeSessionRequest,
                transactions_dot_v2_dot_identity__pb2.RevokeSessionResponse,
            )
        )
        service_obj.add_method(
            "VerifyEmail",
            self.VerifyEmail,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.VerifyEmailRequest,
                transactions_dot_v2_dot_identity__pb2.VerifyEmailResponse,
            )
        )
        service_obj.add_method(
            "ResendVerification",
            self.ResendVerification,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.ResendVerificationRequest,
                transactions_dot_v2_dot_identity__pb2.ResendVerificationResponse,
            )
        )
        service_obj.add_method(
            "RequestPasswordReset",
            self.RequestPasswordReset,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.RequestPasswordResetRequest,
                transactions_dot_v2_dot_identity__pb2.RequestPasswordResetResponse,
            )
        )
        service_obj.add_method(
            "ConfirmPasswordReset",
            self.ConfirmPasswordReset,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.ConfirmPasswordResetRequest,
                transactions_dot_v2_dot_identity__pb2.ConfirmPasswordResetResponse,
            )
        )
        service_obj.add_method(
            "ListSecurityEvents",
            self.ListSecurityEvents,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.ListSecurityEventsRequest,
                transactions_dot_v2_dot_identity__pb2.ListSecurityEventsResponse,
            )
        )
        return service_obj


class IdentityStub:
    def __init__(self, channel):
        self._client = purerpc.Client(
            "transactions.v2.Identity",
            channel
        )
        self.CreateUser = self._client.get_method_stub(
            "CreateUser",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.CreateUserRequest,
                transactions_dot_v2_dot_identity__pb2.CreateUserResponse,
            )
        )
        self.GetUser = self._client.get_method_stub(
            "GetUser",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.GetUserRequest,
                transactions_dot_v2_dot_identity__pb2.GetUserResponse,
            )
        )
        self.UpdateUser = self._client.get_method_stub(
            "UpdateUser",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.UpdateUserRequest,
                transactions_dot_v2_dot_identity__pb2.UpdateUserResponse,
            )
        )
        self.GrantRoles = self._client.get_method_stub(
            "GrantRoles",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.GrantRolesRequest,
                transactions_dot_v2_dot_identity__pb2.GrantRolesResponse,
            )
        )
        self.LoginUser = self._client.get_method_stub(
            "LoginUser",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.LoginUserRequest,
                transactions_dot_v2_dot_identity__pb2.LoginUserResponse,
            )
        )
        self.RenewAccess = self._client.get_method_stub(
            "RenewAccess",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.RenewAccessRequest,
                transactions_dot_v2_dot_identity__pb2.RenewAccessResponse,
            )
        )
        self.LogoutUser = self._client.get_method_stub(
            "LogoutUser",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.LogoutUserRequest,
                transactions_dot_v2_dot_identity__pb2.LogoutUserResponse,
            )
        )
        self.ListSessions = self._client.get_method_stub(
            "ListSessions",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.ListSessionsRequest,
                transactions_dot_v2_dot_identity__pb2.ListSessionsResponse,
            )
        )
        self.RevokeSession = self._client.get_method_stub(
            "RevokeSession",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.RevokeSessionRequest,
                transactions_dot_v2_dot_identity__pb2.RevokeSessionResponse,
            )
        )
        self.VerifyEmail = self._client.get_method_stub(
            "VerifyEmail",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.VerifyEmailRequest,
                transactions_dot_v2_dot_identity__pb2.VerifyEmailResponse,
            )
        )
        self.ResendVerification = self._client.get_method_stub(
            "ResendVerification",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.ResendVerificationRequest,
                transactions_dot_v2_dot_identity__pb2.ResendVerificationResponse,
            )
        )
        self.RequestPasswordReset = self._client.get_method_stub(
            "RequestPasswordReset",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.RequestPasswordResetRequest,
                transactions_dot_v2_dot_identity__pb2.RequestPasswordResetResponse,
            )
        )
        self.ConfirmPasswordReset = self._client.get_method_stub(
            "ConfirmPasswordReset",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.ConfirmPasswordResetRequest,
                transactions_dot_v2_dot_identity__pb2.ConfirmPasswordResetResponse,
            )
        )
        self.ListSecurityEvents = self._client.get_method_stub(
            "ListSecurityEvents",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.ListSecurityEventsRequest,
                transactions_dot_v2_dot_identity__pb2.ListSecurityEventsResponse,
            )
        )