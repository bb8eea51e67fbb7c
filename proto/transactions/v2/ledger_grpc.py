import purerpc
import proto.transactions.v2.ledger_pb2 as transactions_dot_v2_dot_ledger__pb2
import proto.buf.validate.validate_pb2 as buf_dot_validate_dot_validate__pb2
import google.api.annotations_pb2 as google_dot_api_dot_annotations__pb2
import google.api.field_behavior_pb2 as google_dot_api_dot_field_behavior__pb2
import proto.transactions.v2.types_pb2 as transactions_dot_v2_dot_types__pb2


class LedgerServicer(purerpc.Servicer):
    async def CreateAccount(self, input_message):
        raise NotImplementedError()

    async def GetAccount(self, input_message):
        raise NotImplementedError()

    async def ListAccounts(self, input_message):
        raise NotImplementedError()

    async def ListEntries(self, input_message):
        raise NotImplementedError()

    async def Deposit(self, input_message):
        raise NotImplementedError()

    async def Withdraw(self, input_message):
        raise NotImplementedError()

    async def CreateTransfer(self, input_message):
        raise NotImplementedError()

    async def GetTransfer(self, input_message):
        raise NotImplementedError()

    async def BatchTransfers(self, input_message):
        raise NotImplementedError()

    async def StreamTransfers(self, input_messages):
        raise NotImplementedError()

    async def WatchAccount(self, input_message):
        raise NotImplementedError()

    @property
    def service(self) -> purerpc.Service:
        service_obj = purerpc.Service(
            "transactions.v2.Ledger"
        )
        service_obj.add_method(
            "CreateAccount",
            self.CreateAccount,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_ledger__pb2.CreateAccountRequest,
                transactions_dot_v2_dot_ledger__pb2.CreateAccountResponse,
            )
        )
        service_obj.add_method(
            "GetAccount",
            self.GetAccount,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_ledger__pb2.GetAccountRequest,
                transactions_dot_v2_dot_ledger__pb2.GetAccountResponse,
            )
        )
        service_obj.add_method(
            "ListAccounts",
            self.ListAccounts,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_ledger__pb2.ListAccountsRequest,
                transactions_dot_v2_dot_ledger__pb2.ListAccountsResponse,
            )
        )
        service_obj.add_method(
            "ListEntries",
            self.ListEntries,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_ledger__pb2.ListEntriesRequest,
                transactions_dot_v2_dot_ledger__pb2.ListEntriesResponse,
            )
        )
        service_obj.add_method(
            "Deposit",
            self.Deposit,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_ledger__pb2.DepositRequest,
                transactions_dot_v2_dot_ledger__pb2.DepositResponse,
            )
        )
        service_obj.add_method(
            "Withdraw",
            self.Withdraw,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_ledger__pb2.WithdrawRequest,
                transactions_dot_v2_dot_ledger__pb2.WithdrawResponse,
            )
        )
        service_obj.add_method(
            "CreateTransfer",
            self.CreateTransfer,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_ledger__pb2.CreateTransferRequest,
                transactions_dot_v2_dot_ledger__pb2.CreateTransferResponse,
            )
        )
        service_obj.add_method(
            "GetTransfer",
            self.GetTransfer,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_ledger__pb2.GetTransferRequest,
                transactions_dot_v2_dot_ledger__pb2.GetTransferResponse,
            )
        )
        service_obj.add_method(
            "BatchTransfers",
            self.BatchTransfers,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_ledger__pb2.BatchTransfersRequest,
                transactions_dot_v2_dot_ledger__pb2.BatchTransfersResponse,
            )
        )
        service_obj.add_method(
            "StreamTransfers",
            self.StreamTransfers,
            purerpc.RPCSignature(
                purerpc.Cardinality.STREAM_STREAM,
                transactions_dot_v2_dot_ledger__pb2.StreamTransfersRequest,
                transactions_dot_v2_dot_ledger__pb2.StreamTransfersResponse,
            )
        )
        service_obj.add_method(
            "WatchAccount",
            self.WatchAccount,
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_STREAM,
                transactions_dot_v2_dot_ledger__pb2.WatchAccountRequest,
                transactions_dot_v2_dot_ledger__pb2.WatchAccountResponse,
            )
        )
        return service_obj


class LedgerStub:
    def __init__(self, channel):
        self._client = purerpc.Client(
            "transactions.v2.Ledger",
            channel
        )
        self.CreateAccount = self._client.get_method_stub(
            "CreateAccount",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_ledger__pb2.CreateAccountRequest,
                transactions_dot_v2_dot_ledger__pb2.CreateAccountResponse,
            )
        )
        self.GetAccount = self._client.get_method_stub(
            "GetAccount",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_ledger__pb2.GetAccountRequest,
                transactions_dot_v2_dot_ledger__pb2.GetAccountResponse,
            )
        )
        self.ListAccounts = self._client.get_method_stub(
            "ListAccounts",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_ledger__pb2.ListAccountsRequest,
                transactions_dot_v2_dot_ledger__pb2.ListAccountsResponse,
            )
        )
        self.ListEntries = self._client.get_method_stub(
            "ListEntries",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_ledger__pb2.ListEntriesRequest,
                transactions_dot_v2_dot_ledger__pb2.ListEntriesResponse,
            )
        )
        self.Deposit = self._client.get_method_stub(
            "Deposit",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_ledger__pb2.DepositRequest,
                transactions_dot_v2_dot_ledger__pb2.DepositResponse,
            )
        )
        self.Withdraw = self._client.get_method_stub(
            "Withdraw",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_ledger__pb2.WithdrawRequest,
                transactions_dot_v2_dot_ledger__pb2.WithdrawResponse,
            )
        )
        self.CreateTransfer = self._client.get_method_stub(
            "CreateTransfer",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_ledger__pb2.CreateTransferRequest,
                transactions_dot_v2_dot_ledger__pb2.CreateTransferResponse,
            )
        )
        self.GetTransfer = self._client.get_method_stub(
            "GetTransfer",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_ledger__pb2.GetTransferRequest,
                transactions_dot_v2_dot_ledger__pb2.GetTransferResponse,
            )
        )
        self.BatchTransfers = self._client.get_method_stub(
            "BatchTransfers",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_UNARY,
                transactions_dot_v2_dot_ledger__pb2.BatchTransfersRequest,
                transactions_dot_v2_dot_ledger__pb2.BatchTransfersResponse,
            )
        )
        self.StreamTransfers = self._client.get_method_stub(
            "StreamTransfers",
            purerpc.RPCSignature(
                purerpc.Cardinality.STREAM_STREAM,
                transactions_dot_v2_dot_ledger__pb2.StreamTransfersRequest,
                transactions_dot_v2_dot_ledger__pb2.StreamTransfersResponse,
            )
        )
        self.WatchAccount = self._client.get_method_stub(
            "WatchAccount",
            purerpc.RPCSignature(
                purerpc.Cardinality.UNARY_STREAM,
                transactions_dot_v2_dot_ledger__pb2.WatchAccountRequest,
                transactions_dot_v2_dot_ledger__pb2.WatchAccountResponse,
            )
        )