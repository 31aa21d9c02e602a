"""The protocol's own gRPC client, as it comes from PyPI, against a running proxy that serves the fixture models.

Usage: check_grpc.py HOST:PORT. Run by the test beside the proxy's stack; ends with 0 if everything held. The server must
allow bodies of a megabyte and open requests enough for what is asked at once.
"""

import asyncio
import json
import queue
import sys
import time
import unittest

import grpc as channel
import numpy as np
import tritonclient.grpc as grpc
import tritonclient.grpc.aio as aio
from tritonclient.grpc import service_pb2 as messages
from tritonclient.grpc import service_pb2_grpc as service
from google.protobuf import descriptor_pb2, descriptor_pool
from tritonclient.utils import InferenceServerException

from check import EXTREMES, FLOWERS

URL = ""
WAIT = 120
MANY = np.tile(FLOWERS, (200, 1))


def given(name, array, kind, module=grpc):
    return module.InferInput(name, list(array.shape), kind).set_data_from_numpy(array)


def flowers(array=FLOWERS, module=grpc):
    return [given("input", array, "FP32", module)]


class Client(unittest.TestCase):
    def setUp(self):
        self.client = grpc.InferenceServerClient(URL)
        self.addCleanup(self.client.close)
        self.channel = channel.insecure_channel(URL)
        self.addCleanup(self.channel.close)
        self.stub = service.GRPCInferenceServiceStub(self.channel)

    def refused(self, status, part, call, *args, **named):
        with self.assertRaises(InferenceServerException) as caught:
            call(*args, **named)
        self.assertEqual(caught.exception.status(), f"StatusCode.{status}")
        self.assertIn(part, caught.exception.message())

    def failed(self, status, part, call, *args, **named):
        with self.assertRaises(channel.RpcError) as caught:
            call(*args, timeout=WAIT, **named)
        self.assertEqual(caught.exception.code().name, status)
        self.assertIn(part, caught.exception.details())
        return caught.exception


class Server(Client):
    def test_health(self):
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())
        self.assertTrue(self.client.is_model_ready("flowers"))
        self.assertTrue(self.client.is_model_ready("router", "1"))
        self.assertFalse(self.client.is_model_ready("nobody"))
        self.assertFalse(self.client.is_model_ready("router", "9"))

    def test_the_health_service_of_grpc(self):
        check = self.channel.unary_unary("/grpc.health.v1.Health/Check")
        # HealthCheckRequest and HealthCheckResponse have one field each: the service's name, SERVING is 1
        name = b"inference.GRPCInferenceService"
        until = time.monotonic() + WAIT
        while check(b"", timeout=WAIT) != b"\x08\x01" and time.monotonic() < until:
            time.sleep(0.05)  # models load
        for asked in [b"", b"\x0a" + bytes([len(name)]) + name]:
            self.assertEqual(check(asked, timeout=WAIT), b"\x08\x01")
        self.failed("NOT_FOUND", "nobody", check, b"\x0a\x06nobody")

    def test_the_health_service_is_watched(self):
        watch = self.channel.unary_stream("/grpc.health.v1.Health/Watch")
        watched = watch(b"", timeout=WAIT)
        for said in watched:  # NOT_SERVING is 2, as long as models load
            if said == b"\x08\x01":
                break
            self.assertEqual(said, b"\x08\x02")
        watched.cancel()
        # SERVICE_UNKNOWN is 3
        unknown = watch(b"\x0a\x06nobody", timeout=WAIT)
        self.assertEqual(next(unknown), b"\x08\x03")
        unknown.cancel()

    def test_metadata(self):
        server = self.client.get_server_metadata()
        self.assertEqual(server.name, "driftline")
        self.assertIn("statistics", server.extensions)
        model = self.client.get_model_metadata("flowers")
        self.assertEqual([(i.name, i.datatype, list(i.shape)) for i in model.inputs], [("input", "FP32", [-1, 4])])
        self.assertEqual({o.name for o in model.outputs}, {"label", "probabilities"})
        self.assertEqual(model.platform, "onnxruntime_onnx")
        self.assertEqual(list(self.client.get_model_metadata("router", "1").versions), ["1", "2"])
        self.refused("NOT_FOUND", "'nobody'", self.client.get_model_metadata, "nobody")

    def test_configuration(self):
        config = self.client.get_model_config("flowers", as_json=True)["config"]
        self.assertEqual((config["name"], config["backend"], config["platform"]), ("flowers", "onnxruntime", "onnxruntime_onnx"))
        self.assertEqual(config["input"], [{"name": "input", "data_type": "TYPE_FP32", "dims": ["4"]}])
        self.assertEqual({o["data_type"] for o in config["output"]}, {"TYPE_FP32", "TYPE_INT64"})
        self.assertGreater(config["max_batch_size"], 1)
        self.assertIn("dynamic_batching", config)
        self.assertEqual(config["version_policy"], {"specific": {"versions": ["1"]}})
        self.assertEqual(config["instance_group"][0]["kind"], "KIND_CPU")
        self.assertEqual(config["parameters"]["version"], {"string_value": "1"})
        self.refused("NOT_FOUND", "'nobody'", self.client.get_model_config, "nobody")

    def test_what_is_not_served_says_so(self):
        self.refused("UNIMPLEMENTED", "SystemSharedMemoryStatus' is not served here", self.client.get_system_shared_memory_status)
        self.refused("UNIMPLEMENTED", "TraceSetting' is not served here", self.client.get_trace_settings, "flowers")


class Reflection(Client):
    """What a server says of itself, read with protobuf's own descriptors: gRPC's reflection_pb2 is not needed for it."""

    def ask(self, *questions, version="v1"):
        call = self.channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
        return [fields_of(answer) for answer in call(iter(questions), timeout=WAIT)]

    def file(self, tag, name):
        [answer] = self.ask(field(tag, name.encode()))
        return descriptor_pb2.FileDescriptorProto.FromString(fields_of(answer[4])[1])

    def test_services(self):
        for version in ["v1", "v1alpha"]:
            [answer] = self.ask(field(7, b""), version=version)
            self.assertIn(b"inference.GRPCInferenceService", answer[6])
            self.assertIn(b"grpc.health.v1.Health", answer[6])

    def test_every_message_is_as_the_client_has_it(self):
        for file in [self.file(3, "inference.proto"), self.file(4, "inference.GRPCInferenceService")]:
            pool = descriptor_pool.DescriptorPool()
            pool.AddSerializedFile(file.SerializeToString())
            theirs = descriptor_pool.Default()
            ours = pool.FindFileByName("inference.proto")
            checked = [same(message, theirs.FindMessageTypeByName(message.full_name)) for message in ours.message_types_by_name.values()]
            self.assertGreater(sum(checked), 120)
            service = ours.services_by_name["GRPCInferenceService"]
            for method in service.methods:
                their = theirs.FindServiceByName(service.full_name).methods_by_name[method.name]
                for what in [lambda m: m.input_type.full_name, lambda m: m.output_type.full_name, lambda m: (m.client_streaming, m.server_streaming)]:
                    self.assertEqual(what(method), what(their), method.name)

    def test_what_there_is_not(self):
        unknown, nothing = self.ask(field(4, b"inference.Nobody"), b"")
        self.assertIn(b"'inference.Nobody'", unknown[7])
        self.assertIn(b"nothing is asked", nothing[7])


def field(tag, value):
    return bytes([tag << 3 | 2, len(value)]) + value


def fields_of(message):
    """The last of each field that holds bytes."""
    found, at = {}, 0
    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
    while at < len(message):
        key = varint()
        size = varint()
        if key & 7 == 2:
            found[key >> 3] = message[at:at + size]
            at += size
    return found


def same(ours, theirs):
    """Every field of ours is one of theirs; gives how many there are."""
    count = 0
    for name, mine in ours.fields_by_name.items():
        other = theirs.fields_by_name[name]
        about = lambda f: (f.number, f.type, f.is_repeated, f.message_type and f.message_type.full_name, f.enum_type and f.enum_type.full_name,
                           f.containing_oneof and f.containing_oneof.name)
        assert about(mine) == about(other), (ours.full_name, name, about(mine), about(other))
        count += 1
    for nested, mine in ours.nested_types_by_name.items():
        other = theirs.nested_types_by_name[nested]
        assert mine.GetOptions().map_entry == other.GetOptions().map_entry, nested
        count += same(mine, other)
    return count


class Inference(Client):
    def test_an_answer(self):
        wanted = [grpc.InferRequestedOutput(name) for name in ["probabilities", "label"]]
        result = self.client.infer("flowers", flowers(), outputs=wanted, request_id="7", model_version="1")
        response = result.get_response()
        self.assertEqual([o.name for o in response.outputs], ["probabilities", "label"])
        self.assertEqual((response.id, response.model_name, response.model_version), ("7", "flowers", "1"))
        np.testing.assert_array_equal(result.as_numpy("label"), [0, 2])
        self.assertEqual(result.as_numpy("probabilities").shape, (2, 3))

    def test_every_datatype_comes_back(self):
        inputs = [given(kind, array, kind) for kind, array in EXTREMES.items()]
        result = self.client.infer("types", inputs)
        for kind, array in EXTREMES.items():
            found = result.as_numpy(f"{kind}_out")
            self.assertEqual(found.dtype, array.dtype, kind)
            self.assertEqual(found.tolist(), array.tolist(), kind)

    def test_typed_contents_are_answered_with_typed_contents(self):
        fields = {"BOOL": "bool_contents", "INT64": "int64_contents", "UINT64": "uint64_contents", "FP32": "fp32_contents",
                  "FP64": "fp64_contents", "BYTES": "bytes_contents", **{k: "int_contents" for k in ["INT8", "INT16", "INT32"]},
                  **{k: "uint_contents" for k in ["UINT8", "UINT16", "UINT32"]}}
        request = messages.ModelInferRequest(model_name="flowers", id="t")
        contents = messages.InferTensorContents(fp32_contents=FLOWERS.flatten().tolist())
        request.inputs.add(name="input", datatype="FP32", shape=[2, 4], contents=contents)
        answer = self.stub.ModelInfer(request, timeout=WAIT)
        self.assertEqual((len(answer.raw_output_contents), answer.id), (0, "t"))
        label = next(o for o in answer.outputs if o.name == "label")
        self.assertEqual((list(label.shape), list(label.contents.int64_contents)), ([2], [0, 2]))

        # the 16-bit floats have no typed contents, so that a request with them is raw as a whole
        request = messages.ModelInferRequest(model_name="types")
        for kind, array in EXTREMES.items():
            field = fields.get(kind, "int_contents")
            contents = messages.InferTensorContents(**{field: array.flatten().tolist() if kind in fields else [1, 2]})
            request.inputs.add(name=kind, datatype=kind, shape=[1, 2], contents=contents)
        self.failed("INVALID_ARGUMENT", "has no typed contents", self.stub.ModelInfer, request)

    def test_texts(self):
        for shape in [[2], [2, 1]]:
            said = np.array([b"where is my parcel", b"crash at login"], np.object_).reshape(shape)
            result = self.client.infer("router", [given("text", said, "BYTES")])
            self.assertEqual(result.as_numpy("label").tolist(), [b"shipping", b"technical"])
            self.assertEqual(result.as_numpy("scores").shape, (2, 3))

    def test_compression(self):
        plain = self.client.infer("flowers", flowers(MANY)).as_numpy("probabilities")
        for how in ["gzip", "deflate"]:
            result = self.client.infer("flowers", flowers(MANY), compression_algorithm=how)
            np.testing.assert_array_equal(result.as_numpy("probabilities"), plain)
        bomb = np.zeros((200_000, 4), np.float32)
        for how in [None, "gzip"]:
            self.refused("RESOURCE_EXHAUSTED", "larger than 1048576 bytes", self.client.infer, "flowers", flowers(bomb), compression_algorithm=how)

    def test_parameters_priority_and_timeouts(self):
        result = self.client.infer("flowers", flowers(), priority=1, timeout=60_000_000, parameters={"ticket": "T-1", "n": 3, "dry": True})
        self.assertEqual(result.as_numpy("label").tolist(), [0, 2])
        endless = [given("steps", np.array([4_000_000]), "INT64")]
        self.refused("DEADLINE_EXCEEDED", "", self.client.infer, "slow", endless, timeout=200_000)
        self.refused("DEADLINE_EXCEEDED", "", self.client.infer, "slow", endless, client_timeout=0.2)

    def test_errors(self):
        infer = self.client.infer
        self.refused("NOT_FOUND", "'nobody'", infer, "nobody", flowers())
        self.refused("NOT_FOUND", "version '9'", infer, "flowers", flowers(), model_version="9")
        self.refused("INVALID_ARGUMENT", "no output 'nope'", infer, "flowers", flowers(), outputs=[grpc.InferRequestedOutput("nope")])
        self.refused("INVALID_ARGUMENT", "must have shape", infer, "flowers", flowers(FLOWERS[:, :3].copy()))
        self.refused("INVALID_ARGUMENT", "must be FP32, not FP64", infer, "flowers", [given("input", FLOWERS.astype(np.float64), "FP64")])
        counted = [grpc.InferRequestedOutput("probabilities", class_count=2)]
        self.refused("INVALID_ARGUMENT", "classification strings", infer, "flowers", flowers(), outputs=counted)
        self.refused("INVALID_ARGUMENT", "cannot take these values", infer, "lookup", [given("row", np.array([99]), "INT64")])

    def test_bytes_that_are_no_message(self):
        call = self.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        self.failed("INVALID_ARGUMENT", "the message cannot be read", call, b"\xff\xff\xff")
        self.failed("INVALID_ARGUMENT", "`inputs` is empty", call, messages.ModelInferRequest(model_name="flowers").SerializeToString())
        self.failed("INVALID_ARGUMENT", "more than 1024 fields", call, b"\x2a\x00" * 5_000)

    def test_the_answer_says_who_gave_it(self):
        trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        request = messages.ModelInferRequest(model_name="flowers", raw_input_contents=[FLOWERS.tobytes()])
        request.inputs.add(name="input", datatype="FP32", shape=[2, 4])
        _, call = self.stub.ModelInfer.with_call(request, timeout=WAIT, metadata=[("traceparent", trace)])
        told = dict(call.initial_metadata())
        self.assertEqual((told["driftline-model-version"], len(told["driftline-id"])), ("1", 36))
        self.assertTrue(told["traceparent"].startswith(trace[:36]) and told["traceparent"] != trace)
        request.model_name = "nobody"
        error = self.failed("NOT_FOUND", "'nobody'", self.stub.ModelInfer, request)
        self.assertIn("driftline-id", dict(error.trailing_metadata()) | dict(error.initial_metadata()))

    def test_async(self):
        answers = queue.Queue()
        for _ in range(20):
            self.client.async_infer("flowers", flowers(), lambda result, error: answers.put((result, error)))
        for _ in range(20):
            result, error = answers.get(timeout=WAIT)
            self.assertIsNone(error)
            self.assertEqual(result.as_numpy("label").tolist(), [0, 2])
        self.client.async_infer("nobody", flowers(), lambda result, error: answers.put((result, error)))
        self.assertEqual(answers.get(timeout=WAIT)[1].status(), "StatusCode.NOT_FOUND")

    def test_a_client_that_cancels(self):
        answers = queue.Queue()
        endless = [given("steps", np.array([4_000_000]), "INT64")]
        asked = self.client.async_infer("slow", endless, lambda result, error: answers.put(error))
        asked.cancel()
        self.assertEqual(answers.get(timeout=WAIT).status(), "StatusCode.CANCELLED")


class Stream(Client):
    def start(self, **named):
        answers = queue.Queue()
        self.client.start_stream(lambda result, error: answers.put((result, error)), **named)
        return lambda: answers.get(timeout=WAIT)

    def test_answers_come_in_the_order_of_their_questions(self):
        answer = self.start()
        ids = [str(n) for n in range(100)]
        for n in ids:
            self.client.async_stream_infer("flowers", flowers(MANY[:2 * (int(n) % 5 + 1)]), request_id=n)
        for n in ids:
            result, error = answer()
            self.assertIsNone(error and error.message())
            self.assertEqual((result.get_response().id, result.get_response().model_version), (n, "1"))
            self.assertEqual(result.as_numpy("label").tolist(), [0, 2] * (int(n) % 5 + 1))
            said = result.get_response().parameters
            self.assertEqual((len(said["driftline-id"].string_param), said["triton_final_response"].bool_param), (36, True))
        self.client.stop_stream()

    def test_what_is_wrong_with_one_is_its_own(self):
        answer = self.start()
        bomb = np.zeros((200_000, 4), np.float32)
        asked = [("nobody", flowers()), ("flowers", flowers()), ("flowers", flowers(FLOWERS[:, :3].copy())), ("flowers", flowers(bomb)), ("flowers", flowers())]
        for model, inputs in asked:
            self.client.async_stream_infer(model, inputs, parameters={"ticket": "T-1"})
        for part in ["'nobody'", None, "must have shape", "larger than 1048576 bytes", None]:
            result, error = answer()
            if part is None:
                self.assertEqual(result.as_numpy("label").tolist(), [0, 2])
            else:
                self.assertIn(part, error.message())
        self.client.stop_stream()

    def test_compression(self):
        for how in ["gzip", "deflate"]:
            answer = self.start(compression_algorithm=how)
            for _ in range(3):
                self.client.async_stream_infer("flowers", flowers(MANY))
                result, error = answer()
                self.assertIsNone(error and error.message())
                self.assertEqual(result.as_numpy("label").tolist(), [0, 2] * 200)
            self.client.stop_stream()

    def test_timeouts_and_cancelling(self):
        answer = self.start()
        endless = [given("steps", np.array([4_000_000]), "INT64")]
        self.client.async_stream_infer("slow", endless, timeout=200_000)
        self.assertIn("own timeout", answer()[1].message())
        self.client.async_stream_infer("slow", endless)
        self.client.stop_stream(cancel_requests=True)
        self.assertEqual(answer()[1].status(), "StatusCode.CANCELLED")


class Statistics(Client):
    def stats(self, *names):
        return self.client.get_inference_statistics(*names).model_stats

    def test_what_ran_is_counted(self):
        [before] = self.stats("distinct", "1")
        for _ in range(3):
            self.client.infer("distinct", [given("values", np.array([1, 2, 2], np.float32), "FP32")])
        [after] = self.stats("distinct")
        for key in ["success", "queue", "compute_input", "compute_infer", "compute_output"]:
            more = [getattr(getattr(s.inference_stats, key), "count") for s in [before, after]]
            self.assertEqual(more[1] - more[0], 3, key)
            self.assertGreater(getattr(after.inference_stats, key).ns, 0, key)
        self.assertEqual((after.inference_count - before.inference_count, after.inference_stats.fail.count), (3, 0))
        self.assertEqual(sum(b.compute_infer.count for b in after.batch_stats), after.execution_count)
        self.assertGreater(after.last_inference, 1_500_000_000_000)

    def test_of_all_and_of_nobody(self):
        self.assertLessEqual({("router", "1"), ("router", "2"), ("flowers", "1")}, {(s.name, s.version) for s in self.stats()})
        self.assertEqual([s.version for s in self.stats("router")], ["1", "2"])
        self.refused("NOT_FOUND", "'nobody'", self.client.get_inference_statistics, "nobody")


class ZRepository(Client):
    """Runs last: it takes a model away for a while."""

    def line(self, name, version="1"):
        lines = self.client.get_model_repository_index().models
        [line] = [l for l in lines if (l.name, l.version) == (name, version)]
        return line

    def test_unload_and_load(self):
        self.assertEqual((self.line("flowers").state, self.line("flowers").reason), ("READY", ""))
        self.client.unload_model("flowers", unload_dependents=True)
        self.assertNotEqual(self.line("flowers").state, "READY")
        self.assertFalse(self.client.is_model_ready("flowers"))
        self.refused("UNAVAILABLE", "not ready", self.client.infer, "flowers", flowers())
        self.client.load_model("flowers")
        self.assertTrue(self.client.is_model_ready("flowers"))
        self.client.load_model("flowers", config=json.dumps({"version_policy": {"specific": {"versions": [1]}}}))
        self.assertEqual(self.client.infer("flowers", flowers()).as_numpy("label").tolist(), [0, 2])

    def test_what_is_not_done_is_refused(self):
        self.refused("NOT_FOUND", "'nobody'", self.client.load_model, "nobody")
        self.refused("NOT_FOUND", "'nobody'", self.client.unload_model, "nobody")
        self.refused("INVALID_ARGUMENT", "sets 'max_batch_size' to 8", self.client.load_model, "flowers", config='{"max_batch_size": 8}')
        self.refused("INVALID_ARGUMENT", "'file:1/model.onnx'", self.client.load_model, "flowers", config="{}",
                     files={"file:1/model.onnx": b"weights"})


class Aio(unittest.IsolatedAsyncioTestCase):
    async def test_everything_at_once(self):
        async with aio.InferenceServerClient(URL) as client:
            self.assertTrue(await client.is_server_live() and await client.is_model_ready("flowers"))
            self.assertEqual((await client.get_model_metadata("flowers")).name, "flowers")
            some = np.tile(FLOWERS, (20, 1))
            ask = lambda how: client.infer("flowers", flowers(some, aio), compression_algorithm=how)
            for result in await asyncio.gather(*[ask(how) for how in [None, "gzip", "deflate"] * 3]):
                self.assertEqual(result.as_numpy("label").tolist(), [0, 2] * 20)
            self.assertTrue((await client.get_inference_statistics("flowers")).model_stats)
            with self.assertRaises(InferenceServerException):
                await client.infer("nobody", flowers(module=aio))

            async def questions():
                for model in ["flowers", "nobody", "flowers"]:
                    yield {"model_name": model, "inputs": flowers(module=aio)}
            told = [(result and result.as_numpy("label").tolist(), error and error.message()) async for result, error in client.stream_infer(questions())]
            self.assertEqual([told[0], told[2]], [([0, 2], None)] * 2)
            self.assertIn("'nobody'", told[1][1])


if __name__ == "__main__":
    URL = sys.argv.pop(1)
    unittest.main(verbosity=2)
