//! The Open Inference Protocol and the predictions of pictures, against the engine without a server.

use crate::kit::*;
use lenet::data::picture::{Invert, prepare};
use serde_json::{Value, json};

fn infer_json(client: &mut Client, body: &Value) -> Answer {
    client.ask("POST", "/v2/models/m0/infer", "", body.to_string().as_bytes())
}

/// A request with its tensor behind the JSON.
fn infer_binary(client: &mut Client, json: &Value, tensor: &[u8]) -> Answer {
    let json = json.to_string();
    let header = format!("Inference-Header-Content-Length: {}\r\n", json.len());
    client.ask("POST", "/v2/models/m0/versions/1/infer", &header, &[json.as_bytes(), tensor].concat())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn both_encodings_give_the_bits_of_the_engine() {
    for flip_test in [false, true] {
        let model = model(7, flip_test);
        let (_dir, server) = served(&model, options());
        let mut client = Client::new(server.address());
        // One by one, a chunk, several chunks, several pieces.
        for n in [1, 5, 16, 40, 150] {
            let pixels = pixels(n, n as u32);
            let (expected, floats) = (logits(&model, &pixels), floats(&model, &pixels));
            let input = json!({"name": "input", "shape": [n, 1, 28, 28], "datatype": "FP32", "data": floats});
            let answer = infer_json(&mut client, &json!({"id": "a", "inputs": [input]}));
            let got = answer.json();
            assert_eq!(
                (&got["id"], &got["model_name"], &got["model_version"]),
                (&json!("a"), &json!("m0"), &json!("1"))
            );
            let output = &got["outputs"][0];
            assert_eq!((&output["name"], &output["shape"]), (&json!("logits"), &json!([n, 10])));
            let values: Vec<f32> = serde_json::from_value(output["data"].clone()).unwrap();
            assert_eq!(bits(&values), bits(&expected), "{n} images, flip test {flip_test}");

            let tensor: Vec<u8> = floats.iter().flat_map(|v| v.to_le_bytes()).collect();
            let input = json!({
                "name": "input", "shape": [n, 1, 28, 28], "datatype": "FP32",
                "parameters": {"binary_data_size": tensor.len()},
            });
            let wish = json!([{"name": "logits", "parameters": {"binary_data": true}}]);
            let answer = infer_binary(&mut client, &json!({"inputs": [input], "outputs": wish}), &tensor);
            let json_len: usize = answer.header("inference-header-content-length").unwrap().parse().unwrap();
            let (head, tensor) = answer.body.split_at(json_len);
            let head: Value = serde_json::from_slice(head).unwrap();
            assert_eq!(head["outputs"][0]["parameters"]["binary_data_size"], 40 * n);
            let values: Vec<f32> = tensor.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
            assert_eq!(bits(&values), bits(&expected), "{n} images, binary, flip test {flip_test}");
        }
    }
}

#[test]
fn many_clients_at_once_get_their_own_answers() {
    let model = model(3, false);
    let (_dir, server) = served(&model, options());
    std::thread::scope(|scope| {
        for k in 0..24 {
            let (server, model) = (&server, &model);
            scope.spawn(move || {
                let mut client = Client::new(server.address());
                for round in 0..20 {
                    let pixels = pixels(1, 1000 * k + round);
                    let expected = logits(model, &pixels);
                    let data = floats(model, &pixels);
                    let input = json!({"name": "input", "shape": [1, 1, 28, 28], "datatype": "FP32", "data": data});
                    let got = infer_json(&mut client, &json!({"inputs": [input]})).json();
                    let values: Vec<f32> = serde_json::from_value(got["outputs"][0]["data"].clone()).unwrap();
                    assert_eq!(bits(&values), bits(&expected));
                }
            });
        }
    });
    let metrics = metrics(&server);
    let line = "lenet_requests_total{route=\"/v2/models/{name}/infer\",status=\"200\"} 480\n";
    assert!(metrics.contains(line), "{metrics}");
    assert!(metrics.contains("lenet_queue_samples{model=\"m0\"} 0\n"), "{metrics}");
}

#[test]
fn what_does_not_fit_is_refused_with_a_reason() {
    let (_dir, server) = served(&model(1, false), options());
    let mut client = Client::new(server.address());
    let input = |shape: Value, datatype: &str, data: Value| json!({"inputs": [{"name": "input", "shape": shape, "datatype": datatype, "data": data}]});
    let zeros = json!(vec![0.0; 784]);
    for (status, words, body) in [
        (422, "shape", input(json!([1, 28, 28, 1]), "FP32", zeros.clone())),
        (422, "shape", input(json!([784]), "FP32", zeros.clone())),
        (422, "shape", input(json!([0, 1, 28, 28]), "FP32", json!([]))),
        (422, "784 values", input(json!([2, 1, 28, 28]), "FP32", zeros.clone())),
        (422, "784 values", input(json!([u64::MAX, 1, 28, 28]), "FP32", zeros.clone())),
        (422, "FP64", input(json!([1, 1, 28, 28]), "FP64", zeros.clone())),
        (422, "not finite", input(json!([1, 1, 28, 28]), "FP32", json!(vec![1e300; 784]))),
        (400, "negative", json!({"inputs": [{"name": "input", "shape": [-1, 1, 28, 28], "datatype": "FP32"}]})),
        (400, "neither", json!({"inputs": [{"name": "input", "shape": [1, 1, 28, 28], "datatype": "FP32"}]})),
        (422, "one input", json!({"inputs": []})),
        (422, "one input", json!({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]})),
        (422, "no output", json!({"inputs": [], "outputs": [{"name": "probabilities"}]})),
        (400, "inputs", json!({})),
    ] {
        let error = infer_json(&mut client, &body).refused(status);
        // The parser's words for a negative size are its own.
        assert!(error.contains(words) || words == "negative", "{error}");
    }
    client.ask("POST", "/v2/models/m0/infer", "", b"{\"inputs\": [{\"data\": [NaN]}]}").refused(400);
    client.ask("POST", "/v2/models/m0/infer", "", &[b'['; 100_000]).refused(400);
    let sized = |size: Value| {
        let parameters = json!({"binary_data_size": size});
        json!({"inputs": [{"name": "input", "shape": [1, 1, 28, 28], "datatype": "FP32", "parameters": parameters}]})
    };
    let nan = [f32::NAN.to_le_bytes().to_vec(), vec![0; 4 * 783]].concat();
    infer_binary(&mut client, &sized(json!(3136)), &nan).refused(422);
    infer_binary(&mut client, &sized(json!(3136)), &[0; 3135]).refused(400);
    infer_binary(&mut client, &sized(json!(3136)), &[0; 3137]).refused(400);
    infer_binary(&mut client, &sized(json!(-4)), &[0; 3136]).refused(400);
    infer_binary(&mut client, &sized(json!(u64::MAX)), &[0; 3136]).refused(400);
    let header = "Inference-Header-Content-Length: 999\r\n";
    client.ask("POST", "/v2/models/m0/infer", header, b"{}").refused(400);
    client.ask("POST", "/v2/models/m0/versions/2/infer", "", b"{}").refused(404);
    client.ask("POST", "/v2/models/m9/infer", "", b"{}").refused(404);
    assert_eq!(client.get("/v2/models/m0/infer").refused(405), "this route takes POST");
    assert_eq!(client.get("/v2/models/m0/ready").status, 200);
}

#[test]
fn metadata_says_what_the_protocol_wants() {
    let dir = tempfile::tempdir().unwrap();
    model(1, false).save(dir.path()).unwrap();
    let server = start(&[dir.path(), dir.path()], options());
    let mut client = Client::new(server.address());
    for path in ["/v2/health/live", "/v2/health/ready", "/v2/models/m1/ready", "/v2/models/m1/versions/1/ready"] {
        assert_eq!(client.get(path).status, 200, "{path}");
    }
    let head = client.ask("GET", "/v2", "X-Request-Id: my-id.7\r\n", b"");
    assert_eq!((head.json()["name"].as_str(), head.header("x-request-id")), (Some("lenet"), Some("my-id.7")));
    let metadata = client.get("/v2/models/m1").json();
    let expected = json!({
        "name": "m1", "versions": ["1"], "platform": "lenet",
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 1, 28, 28]}],
        "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}],
    });
    assert_eq!(metadata, expected);
    let models = client.get("/v1/models").json();
    assert_eq!((&models["models"][1]["name"], &models["models"][1]["input"]), (&json!("m1"), &json!([1, 28, 28])));
}

#[test]
fn pictures_are_judged_as_on_the_command_line() {
    let model = model(5, false);
    let (_dir, server) = served(&model, options());
    let mut client = Client::new(server.address());
    // The network's own size, a small one, and one that is decoded elsewhere; dark on light.
    for (w, h) in [(28, 28), (50, 40), (300, 200)] {
        let light: Vec<u8> = (0..w * h)
            .map(|i| {
                let (x, y) = (i % w, i / w);
                if x > w / 3 && x < w / 2 && y > h / 4 && y < 3 * h / 4 { 10 } else { 250 }
            })
            .collect();
        let bytes = png(&light, w, h);
        let prepared = prepare(&bytes, [1, 28, 28], Invert::Auto).unwrap();
        assert!(prepared.inverted);
        let logits = logits(&model, &prepared.pixels);
        let best = (0..10).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
        let sum: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
        let answer = client.ask("POST", "/v1/predict?top=10&model=m0", "Content-Type: image/png\r\n", &bytes).json();
        assert_eq!((&answer["inverted"], &answer["width"], &answer["height"]), (&json!(true), &json!(w), &json!(h)));
        let top = answer["top"].as_array().unwrap();
        assert_eq!((&top[0]["index"], &top[0]["class"]), (&json!(best), &json!(format!("class {best}"))));
        assert_eq!(top.len(), 10);
        for entry in top {
            let index = entry["index"].as_u64().unwrap() as usize;
            let expected = f64::from(logits[index]).exp() / sum;
            assert!((entry["probability"].as_f64().unwrap() - expected).abs() < 1e-6, "{entry}");
        }
    }
    let bytes = png(&[250; 784], 28, 28);
    for (path, status) in [
        ("/v1/predict?top=0", 400),
        ("/v1/predict?top=x", 400),
        ("/v1/predict?invert=maybe", 400),
        ("/v1/predict?model=nobody", 404),
    ] {
        client.ask("POST", path, "", &bytes).refused(status);
    }
    let asked =
        |client: &mut Client, query: &str| client.ask("POST", &format!("/v1/predict{query}"), "", &bytes).json();
    assert_eq!(asked(&mut client, "?invert=always")["inverted"], true);
    assert_eq!(asked(&mut client, "?invert=never")["top"].as_array().unwrap().len(), 3);
    client.ask("POST", "/v1/predict", "", b"no picture").refused(415);
    client.ask("POST", "/v1/predict", "Content-Type: application/json\r\n", b"{}").refused(415);
    client.ask("POST", "/v1/predict", "Content-Encoding: gzip\r\n", &bytes).refused(415);
    client.ask("POST", "/v1/predict", "", &bytes[..bytes.len() - 20]).refused(422);
    assert_eq!(client.get("/v1/predict").refused(405), "this route takes POST");
}

#[test]
fn other_methods_are_told_which_ones_there_are() {
    let dir = tempfile::tempdir().unwrap();
    model(1, false).save(dir.path()).unwrap();
    let server = start(&[dir.path()], options());
    let mut client = Client::new(server.address());
    for (path, allow) in [
        ("/", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
        ("/v1/predict", "POST"),
        ("/v1/runs", "GET, HEAD, POST"),
        ("/v1/runs/one/stop", "POST"),
        ("/v2/models/m0/versions/1/infer", "POST"),
    ] {
        let answer = client.ask("PUT", path, "", b"");
        assert_eq!(answer.refused(405), format!("this route takes {allow}"), "{path}");
        assert_eq!(answer.header("allow"), Some(allow), "{path}");
    }
    // Of a model that is not there nothing else is said.
    for path in ["/v2/models/m9/infer", "/v2/models/m9/nothing"] {
        assert!(client.ask("PUT", path, "", b"").refused(404).starts_with("there is no model \"m9\""), "{path}");
    }
}

#[test]
fn the_document_lists_routes_that_exist() {
    let dir = tempfile::tempdir().unwrap();
    model(1, false).save(dir.path()).unwrap();
    let run = dir.path().join("runs/one");
    std::fs::create_dir_all(&run).unwrap();
    for file in ["recipe.toml", "report.html"] {
        std::fs::write(run.join(file), "").unwrap();
    }
    let options = lenet_serve::Options { runs: Some(dir.path().join("runs")), ..options() };
    let server = start(&[dir.path()], options);
    let document = Client::new(server.address()).get("/openapi.json").json();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 13, "{paths:?}");
    for (path, operations) in paths {
        let path = path.replace("{name}", "m0").replace("{version}", "1").replace("{run}", "one");
        for (method, operation) in operations.as_object().unwrap() {
            // One connection each: a stream does not end.
            let answer = Client::new(server.address()).ask(&method.to_uppercase(), &path, "", b"");
            assert!(answer.status != 404 && answer.status != 405, "{method} {path}: {answer:?}");
            let listed = operation["responses"].as_object().unwrap();
            assert!(listed.contains_key(&answer.status.to_string()), "{method} {path}: {}", answer.status);
        }
    }
}
