import purerpc
import proto.transactions.v2.identity_pb2 as transactions_dot_v2_dot_identity__pb2
import google.api.annotations_pb2 as google_dot_api_dot_annotations__pb2
import google.protobuf.timestamp_pb2 as google_dot_protobuf_dot_timestamp__pb2
import proto.transactions.v2.types_pb2 as transactions_dot_v2_dot_types__pb2


class IdentityServicer(purerpc.Servicer):
    async def CreateUser(self, input_message):
        raise NotImplementedError()

    async def LoginUser(self, input_message):
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
            "LoginUser",
            self.LoginUser,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.LoginUserRequest,
                transactions_dot_v2_dot_identity__pb2.LoginUserResponse,
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
        self.LoginUser = self._client.get_method_stub(
            "LoginUser",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_identity__pb2.LoginUserRequest,
                transactions_dot_v2_dot_identity__pb2.LoginUserResponse,
            )
        )