"""The protocol's own client, as it comes from PyPI, against a running proxy that serves the fixture models.

Usage: check.py HOST:PORT. Run by the test beside the proxy's stack; ends with 0 if everything held.
"""

import asyncio
import json
import sys
import unittest

import ml_dtypes
import numpy as np
import tritonclient.http as http
import tritonclient.http.aio as aio
from tritonclient.utils import InferenceServerException

URL = ""
FLOWERS = np.array([[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]], np.float32)
EXTREMES = {
    "BOOL": np.array([[False, True]]),
    **{f"{kind.upper()}": np.array([[np.iinfo(kind).min, np.iinfo(kind).max]], kind)
       for kind in ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]},
    "FP16": np.array([[-65504, 6e-8]], np.float16),
    "BF16": np.array([[-3.3895314e38, 1e-38]], ml_dtypes.bfloat16),
    "FP32": np.array([[np.finfo(np.float32).min, 1e-38]], np.float32),
    "FP64": np.array([[np.finfo(np.float64).max, 5e-324]], np.float64),
    "BYTES": np.array([[b"", "naïve \U0001f980".encode()]], np.object_),
}


def given(module, name, array, kind, binary=True):
    return module.InferInput(name, list(array.shape), kind).set_data_from_numpy(array, binary_data=binary)


def flowers(module=http, array=FLOWERS, binary=True):
    return [given(module, "input", array, "FP32", binary)]


def texts(*said, binary=True):
    return [given(http, "text", np.array([text.encode() for text in said], np.object_), "BYTES", binary)]


class Client(unittest.TestCase):
    def setUp(self):
        self.client = http.InferenceServerClient(URL, concurrency=4, network_timeout=120, connection_timeout=120)
        self.addCleanup(self.client.close)

    def refused(self, status, part, call, *args, **named):
        with self.assertRaises(InferenceServerException) as caught:
            call(*args, **named)
        self.assertEqual(caught.exception.status(), str(status))
        self.assertIn(part, caught.exception.message())


class Server(Client):
    def test_health(self):
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())
        self.assertTrue(self.client.is_model_ready("flowers"))
        self.assertTrue(self.client.is_model_ready("router", "1"))
        self.assertFalse(self.client.is_model_ready("nobody"))
        self.assertFalse(self.client.is_model_ready("router", "9"))

    def test_metadata(self):
        server = self.client.get_server_metadata()
        self.assertEqual(server["name"], "driftline")
        for extension in ["binary_tensor_data", "statistics", "model_configuration", "model_repository", "parameters"]:
            self.assertIn(extension, server["extensions"])
        for unsupported in ["classification", "system_shared_memory", "cuda_shared_memory", "trace", "logging"]:
            self.assertNotIn(unsupported, server["extensions"])
        model = self.client.get_model_metadata("flowers")
        self.assertEqual(model["inputs"], [{"name": "input", "datatype": "FP32", "shape": [-1, 4]}])
        self.assertEqual(self.client.get_model_metadata("router", "1")["versions"], ["1", "2"])
        self.refused(404, "'nobody'", self.client.get_model_metadata, "nobody")

    def test_configuration(self):
        config = self.client.get_model_config("flowers")
        self.assertEqual((config["name"], config["backend"], config["platform"]), ("flowers", "onnxruntime", "onnxruntime_onnx"))
        self.assertEqual(config["input"], [{"name": "input", "data_type": "TYPE_FP32", "dims": [4]}])
        self.assertGreater(config["max_batch_size"], 1)
        self.assertIn("dynamic_batching", config)
        self.assertEqual(self.client.get_model_config("flowers", "1")["version_policy"], {"specific": {"versions": [1]}})
        # one value an item: nothing would be left of the shape, so it is said whole
        steps = self.client.get_model_config("slow")
        self.assertEqual((steps["max_batch_size"], steps["input"][0]["dims"]), (0, [-1]))
        self.refused(404, "'nobody'", self.client.get_model_config, "nobody")


class Inference(Client):
    def test_json_and_binary_give_the_same(self):
        answers = []
        for binary_in in [False, True]:
            for binary_out in [False, True]:
                wanted = [http.InferRequestedOutput(name, binary_data=binary_out) for name in ["probabilities", "label"]]
                result = self.client.infer("flowers", flowers(binary=binary_in), outputs=wanted, request_id="7")
                self.assertEqual([o["name"] for o in result.get_response()["outputs"]], ["probabilities", "label"])
                self.assertEqual(result.get_response()["id"], "7")
                np.testing.assert_array_equal(result.as_numpy("label"), [0, 2])
                answers.append(result.as_numpy("probabilities"))
        for other in answers[1:]:
            np.testing.assert_array_equal(other, answers[0])
        everything = self.client.infer("flowers", flowers(), model_version="1")
        np.testing.assert_array_equal(everything.as_numpy("probabilities"), answers[0])

    def test_every_datatype_comes_back(self):
        for json_too in [False, True]:
            as_json = lambda kind: json_too and kind not in ("FP16", "BF16")
            inputs = [given(http, kind, array, kind, not as_json(kind)) for kind, array in EXTREMES.items()]
            wanted = [http.InferRequestedOutput(f"{kind}_out", binary_data=not as_json(kind)) for kind in EXTREMES]
            result = self.client.infer("types", inputs, outputs=wanted)
            for kind, array in EXTREMES.items():
                found = result.as_numpy(f"{kind}_out")
                if kind == "BYTES" and as_json(kind):
                    found = np.vectorize(str.encode, otypes=[object])(found)
                self.assertEqual(found.dtype, array.dtype, kind)
                self.assertEqual(found.tolist(), array.tolist(), kind)

    def test_16_bit_floats_are_not_json(self):
        def inputs(binary):
            return [given(http, kind, array, kind, binary or kind != "FP16") for kind, array in EXTREMES.items()]
        self.refused(400, "input 'FP16' has datatype FP16, which JSON cannot carry", self.client.infer, "types", inputs(False))
        wanted = [http.InferRequestedOutput("BF16_out", binary_data=False)]
        self.refused(400, "output 'BF16_out' is BF16, which JSON cannot carry", self.client.infer, "types", inputs(True), outputs=wanted)

    def test_texts(self):
        for binary in [False, True]:
            result = self.client.infer("router", texts("where is my parcel", "crash at login", binary=binary))
            self.assertEqual(result.as_numpy("label").tolist(), [b"shipping", b"technical"])
            self.assertEqual(result.as_numpy("scores").shape, (2, 3))

    def test_compression(self):
        many = np.tile(FLOWERS, (200, 1))
        plain = self.client.infer("flowers", flowers(array=many)).as_numpy("probabilities")
        for sent in [None, "gzip", "deflate"]:
            for got in [None, "gzip", "deflate"]:
                for binary in [False, True]:
                    wanted = [http.InferRequestedOutput("probabilities", binary_data=binary)]
                    result = self.client.infer(
                        "flowers", flowers(array=many, binary=binary), outputs=wanted,
                        request_compression_algorithm=sent, response_compression_algorithm=got,
                    )
                    np.testing.assert_array_equal(result.as_numpy("probabilities"), plain)

    def test_parameters_priority_and_timeout(self):
        result = self.client.infer("flowers", flowers(), priority=1, timeout=60_000_000, parameters={"ticket": "T-1"})
        self.assertEqual(result.as_numpy("label").tolist(), [0, 2])
        endless = [given(http, "steps", np.array([4_000_000]), "INT64")]
        self.refused(408, "own timeout", self.client.infer, "slow", endless, timeout=200_000)

    def test_errors(self):
        self.refused(404, "'nobody'", self.client.infer, "nobody", flowers())
        self.refused(404, "version '9'", self.client.infer, "flowers", flowers(), model_version="9")
        wanted = [http.InferRequestedOutput("nope")]
        self.refused(400, "no output 'nope'", self.client.infer, "flowers", flowers(), outputs=wanted)
        self.refused(400, "must have shape", self.client.infer, "flowers", flowers(array=FLOWERS[:, :3].copy()))
        self.refused(400, "must be FP32, not FP64", self.client.infer, "flowers",
                     [given(http, "input", FLOWERS.astype(np.float64), "FP64")])
        wanted = [http.InferRequestedOutput("probabilities", class_count=2)]
        self.refused(400, "classification strings", self.client.infer, "flowers", flowers(), outputs=wanted)
        short = flowers()
        short[0]._raw_data = short[0]._raw_data[:-1]
        self.refused(400, "bytes are left behind the JSON", self.client.infer, "flowers", short)
        self.refused(400, "cannot take these values", self.client.infer, "lookup", [given(http, "row", np.array([99]), "INT64")])

    def test_bodies_made_and_read_apart(self):
        body, head = http.InferenceServerClient.generate_request_body(flowers())
        response = self.client._post("v2/models/flowers/infer", body, {"Inference-Header-Content-Length": head}, None)
        self.assertEqual(response.status_code, 200)
        result = http.InferenceServerClient.parse_response_body(
            response.read(), header_length=int(response.get("Inference-Header-Content-Length")))
        self.assertEqual(result.as_numpy("label").tolist(), [0, 2])

    def test_async(self):
        asked = [self.client.async_infer("flowers", flowers()) for _ in range(20)]
        for request in asked:
            self.assertEqual(request.get_result().as_numpy("label").tolist(), [0, 2])
        with self.assertRaises(InferenceServerException):
            self.client.async_infer("nobody", flowers()).get_result()


class Statistics(Client):
    def stats(self, *names):
        return self.client.get_inference_statistics(*names)["model_stats"]

    def test_what_ran_is_counted(self):
        [before] = self.stats("distinct", "1")
        for _ in range(3):
            self.client.infer("distinct", [given(http, "values", np.array([1, 2, 2], np.float32), "FP32")])
        [after] = self.stats("distinct")
        more = lambda *path: leaf(after, path) - leaf(before, path)
        for key in ["success", "queue", "compute_input", "compute_infer", "compute_output"]:
            self.assertEqual(more("inference_stats", key, "count"), 3, key)
            self.assertGreater(more("inference_stats", key, "ns"), 0, key)
        self.assertEqual((more("inference_count"), more("inference_stats", "fail", "count")), (3, 0))
        self.assertEqual(sum(b["compute_infer"]["count"] for b in after["batch_stats"]), after["execution_count"])
        self.assertGreater(after["last_inference"], 1_500_000_000_000)
        for key in ["cache_hit", "cache_miss"]:
            self.assertEqual(after["inference_stats"][key], {"count": 0, "ns": 0})

    def test_of_all_and_of_nobody(self):
        self.assertLessEqual({("router", "1"), ("router", "2"), ("flowers", "1")},
                             {(s["name"], s["version"]) for s in self.stats()})
        self.assertEqual([s["version"] for s in self.stats("router")], ["1", "2"])
        self.refused(404, "'nobody'", self.client.get_inference_statistics, "nobody")


def leaf(value, path):
    for key in path:
        value = value[key]
    return value


class ZRepository(Client):
    """Runs last: it takes a model away for a while."""

    def line(self, name, version="1"):
        [line] = [l for l in self.client.get_model_repository_index() if (l["name"], l["version"]) == (name, version)]
        return line

    def test_unload_and_load(self):
        self.assertEqual((self.line("flowers")["state"], self.line("flowers")["reason"]), ("READY", ""))
        self.client.unload_model("flowers", unload_dependents=True)
        self.assertNotEqual(self.line("flowers")["state"], "READY")
        self.assertFalse(self.client.is_model_ready("flowers"))
        self.refused(503, "not ready", self.client.infer, "flowers", flowers())
        self.refused(503, "not ready", self.client.get_inference_statistics, "flowers")
        self.client.load_model("flowers")
        self.assertTrue(self.client.is_model_ready("flowers"))
        self.client.load_model("flowers", config=json.dumps({"version_policy": {"specific": {"versions": [1]}}}))
        self.assertEqual(self.client.infer("flowers", flowers()).as_numpy("label").tolist(), [0, 2])

    def test_what_is_not_done_is_refused(self):
        self.refused(404, "'nobody'", self.client.load_model, "nobody")
        self.refused(404, "'nobody'", self.client.unload_model, "nobody")
        self.refused(404, "version '9'", self.client.load_model, "flowers",
                     config=json.dumps({"version_policy": {"specific": {"versions": [9]}}}))
        self.refused(400, "sets 'max_batch_size' to 8", self.client.load_model, "flowers", config='{"max_batch_size": 8}')
        self.refused(400, "'file:1/model.onnx'", self.client.load_model, "flowers", config="{}",
                     files={"file:1/model.onnx": b"weights"})


class Aio(unittest.IsolatedAsyncioTestCase):
    async def test_everything_at_once(self):
        async with aio.InferenceServerClient(URL, conn_limit=8, conn_timeout=120) as client:
            self.assertTrue(await client.is_server_live() and await client.is_model_ready("flowers"))
            self.assertEqual((await client.get_model_metadata("flowers"))["name"], "flowers")
            ask = lambda sent, got: client.infer(
                "flowers", flowers(aio, np.tile(FLOWERS, (40, 1))),
                request_compression_algorithm=sent, response_compression_algorithm=got)
            codings = [None, "gzip", "deflate"]
            for result in await asyncio.gather(*[ask(sent, got) for sent in codings for got in codings]):
                self.assertEqual(result.as_numpy("label").tolist(), [0, 2] * 40)
            self.assertTrue((await client.get_inference_statistics("flowers"))["model_stats"])
            self.assertTrue(await client.get_model_repository_index())
            with self.assertRaises(InferenceServerException):
                await client.infer("nobody", flowers(aio))


if __name__ == "__main__":
    URL = sys.argv.pop(1)
    unittest.main(verbosity=2)
