"""`grpc.reflection` v1 and v1alpha: lets grpcurl and its like ask what there is to call.

The two versions differ in their package name only, so one body serves both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor

from transport import errors
from transport.grpc import compat

from proto.grpc.reflection.v1 import reflection_pb2 as v1  # isort: skip
from proto.grpc.reflection.v1.reflection_grpc import ServerReflectionServicer as V1Servicer  # isort: skip
from proto.grpc.reflection.v1alpha import reflection_pb2 as v1alpha  # isort: skip
from proto.grpc.reflection.v1alpha.reflection_grpc import (  # isort: skip
    ServerReflectionServicer as V1AlphaServicer,
)

assert compat


class _Answers:
    """Answers requests in the messages of one version, `pb`."""

    def __init__(self, pb: Any, services: Iterable[str]) -> None:
        self._pb = pb
        self._services = sorted(services)
        self._pool = descriptor_pool.Default()

    def answer(self, request: Any) -> Any:
        response = self._pb.ServerReflectionResponse(valid_host=request.host, original_request=request)
        try:
            self._fill(response, request)
        except KeyError as error:
            response.error_response.error_code = errors.NOT_FOUND
            response.error_response.error_message = f"not found: {error}"
        return response

    def _fill(self, response: Any, request: Any) -> None:
        pool = self._pool
        match request.WhichOneof("message_request"):
            case "list_services":
                for name in self._services:
                    response.list_services_response.service.add(name=name)
            case "file_by_filename":
                self._add_files(response, pool.FindFileByName(request.file_by_filename))
            case "file_containing_symbol":
                self._add_files(response, pool.FindFileContainingSymbol(request.file_containing_symbol))
            case "file_containing_extension":
                wanted = request.file_containing_extension
                message = pool.FindMessageTypeByName(wanted.containing_type)
                extension: Any = pool.FindExtensionByNumber(message, wanted.extension_number)
                self._add_files(response, extension.file)
            case "all_extension_numbers_of_type":
                name = request.all_extension_numbers_of_type
                extensions = pool.FindAllExtensions(pool.FindMessageTypeByName(name))
                numbers = response.all_extension_numbers_response
                numbers.base_type_name = name
                numbers.extension_number.extend(sorted(each.number for each in extensions))
            case _:
                response.error_response.error_code = errors.INVALID_ARGUMENT
                response.error_response.error_message = "the request asks for nothing"

    @staticmethod
    def _add_files(response: Any, file: FileDescriptor) -> None:
        # With everything it imports, so that a client need not ask again.
        found: dict[str, FileDescriptor] = {}
        waiting = [file]
        while waiting:
            each = waiting.pop()
            if each.name not in found:
                found[each.name] = each
                waiting.extend(each.dependencies)
        for each in found.values():
            response.file_descriptor_response.file_descriptor_proto.append(each.serialized_pb)


class ReflectionV1(V1Servicer):
    """`grpc.reflection.v1.ServerReflection`."""

    def __init__(self, services: Iterable[str]) -> None:
        self._answers = _Answers(v1, services)

    async def ServerReflectionInfo(self, input_messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for message in input_messages:
            yield self._answers.answer(message)


class ReflectionV1Alpha(V1AlphaServicer):
    """`grpc.reflection.v1alpha.ServerReflection`."""

    def __init__(self, services: Iterable[str]) -> None:
        self._answers = _Answers(v1alpha, services)

    async def ServerReflectionInfo(self, input_messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for message in input_messages:
            yield self._answers.answer(message)
