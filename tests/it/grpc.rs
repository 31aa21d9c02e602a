//! gRPC as a user of `driftline up` meets it: told where it is, with the same keys as HTTP, and there again after a crash.

use crate::harness::{Driftline, TEXT_MODEL, dependency};

/// Classifies a text with Triton's own client; its last line is the label, or the code of the error.
const ASK: &str = "
import sys
import numpy as np
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException
url, model, key = sys.argv[1:]
text = np.array([b'where is my parcel'], np.object_)
asked = [grpc.InferInput('text', [1], 'BYTES').set_data_from_numpy(text)]
try:
    answer = grpc.InferenceServerClient(url).infer(model, asked, headers={'authorization': f'Bearer {key}'} if key else None)
    print(answer.as_numpy('label')[0].decode())
except InferenceServerException as error:
    print(error.status())
";

async fn ask(url: &str, key: &str) -> String {
    let python = dependency("venv/bin/python");
    let asked = tokio::process::Command::new(python).args(["-c", ASK, url, TEXT_MODEL, key]).output();
    let output = asked.await.expect("python can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_is_where_up_says_also_after_a_crash() {
    let key = host::auth::keys::generate("asker", &[host::auth::Scope::Infer]).expect("a key can be made");
    let known = toml::Value::try_from(&key.known).expect("a key is TOML");
    let driftline = Driftline::up_with(|config| {
        let proxy = config["proxy"].as_table_mut().expect("is a section");
        proxy.insert("grpc".into(), "127.0.0.1:0".into());
        let auth = toml::Table::from_iter([("keys".into(), vec![known].into())]);
        let edge = toml::Table::from_iter([("auth".into(), auth.into()), ("metrics_open".into(), true.into())]);
        proxy.insert("edge".into(), edge.into());
    })
    .await;
    assert_eq!(ask(&driftline.grpc, &key.secret).await, "shipping");
    assert_eq!(ask(&driftline.grpc, "").await, "StatusCode.UNAUTHENTICATED");
    driftline.wait_for_rows(1).await;
    let routes = driftline.sql("SELECT route, outcome, code FROM observations").await;
    assert_eq!(routes, "grpc\tok\t200");

    let before = driftline.pids("proxy");
    driftline.kill("proxy");
    driftline
        .wait_for("the proxy to answer at the same address", async || {
            driftline.pids("proxy") != before && ask(&driftline.grpc, &key.secret).await == "shipping"
        })
        .await;
    driftline.stop().await;
}
