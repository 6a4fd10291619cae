//! What the page asks for: activations against the library, weights that give them, runs and who may not see or start them.

use crate::kit::*;
use lenet::inspect;
use serde_json::{Value, json};
use std::io::Read;

/// The decoder of base64, by its definition.
fn base64(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0, 0_u32);
    for letter in text.bytes().take_while(|b| *b != b'=') {
        held = held << 6 | alphabet.iter().position(|a| *a == letter).unwrap() as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    bytes
}

fn values(text: &Value) -> Vec<f32> {
    base64(text.as_str().unwrap()).chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

const RAW: &str = "Content-Type: application/octet-stream\r\n";

#[test]
fn activations_are_those_of_the_library_and_follow_from_the_weights() {
    let model = model(3, true);
    let (_dir, server) = served(&model, options());
    let mut client = Client::new(server.address());
    let pixels = pixels(1, 9);
    let answer = client.ask("POST", "/v1/activations?model=m0", RAW, &pixels).json();
    let expected = inspect::activations(&model, &pixels).unwrap();
    let layers = answer["layers"].as_array().unwrap();
    assert_eq!(layers.len(), expected.len());
    for (layer, expected) in layers.iter().zip(&expected) {
        assert_eq!(
            (layer["name"].as_str().unwrap(), layer["kind"].as_str().unwrap()),
            (&expected.name[..], expected.kind)
        );
        assert_eq!(values(&layer["values"]), expected.values);
    }
    // With the mirror image, as predictions are.
    let logits: Vec<f32> = serde_json::from_value(answer["logits"].clone()).unwrap();
    assert_eq!(logits, crate::kit::logits(&model, &pixels));
    assert_eq!(base64(answer["image"].as_str().unwrap()), pixels);
    assert!(answer["energy_percentile"].is_null());

    let weights = client.get("/v1/models/m0/weights?layer=3").json();
    assert_eq!((&weights["shape"], &weights["source"]), (&json!([16, 6, 5, 5]), &json!(3)));
    let (kernel, bias) = (values(&weights["weight"]), values(&weights["bias"]));
    let source = &expected[3].values;
    let (channel, row, column) = (7, 2, 5);
    let mut sum = f64::from(bias[channel]);
    for (k, weight) in kernel[channel * 150..][..150].iter().enumerate() {
        let (c, y, x) = (k / 25, row + k % 25 / 5, column + k % 5);
        sum += f64::from(*weight) * f64::from(source[(c * 14 + y) * 14 + x]);
    }
    let given = f64::from(expected[4].values[(channel * 10 + row) * 10 + column]);
    assert!((sum - given).abs() < 1e-5, "{sum} {given}");

    // A unit of the first dense layer, and what the pooling before it says of itself.
    let dense = client.get("/v1/models/m0/weights?layer=7&unit=11").json();
    assert_eq!((&dense["kind"], &dense["shape"], &dense["source"]), (&json!("dense"), &json!([1, 400]), &json!(7)));
    let terms = values(&dense["weight"]).into_iter().zip(&expected[7].values);
    let sum: f64 = terms.map(|(w, x)| f64::from(w) * f64::from(*x)).sum();
    let given = f64::from(expected[8].values[11]);
    assert!((sum + f64::from(values(&dense["bias"])[0]) - given).abs() < 1e-5, "{sum} {given}");
    let pool = client.get("/v1/models/m0/weights?layer=2").json();
    assert_eq!((&pool["kind"], &pool["window"], &pool["stride"]), (&json!("max_pool"), &json!([2, 2]), &json!([2, 2])));
    assert!(pool["weight"].is_null() && pool["bias"].is_null());
    for query in ["", "&unit=120", "&unit=x"] {
        client.get(&format!("/v1/models/m0/weights?layer=7{query}")).refused(400);
    }

    client.ask("POST", "/v1/activations", RAW, &pixels[1..]).refused(422);
    client.ask("POST", "/v1/activations", "", b"no picture").refused(415);
    client.ask("POST", "/v1/activations?model=nobody", RAW, &pixels).refused(404);
    client.get("/v1/models/m0/weights?layer=1").refused(422);
    client.get("/v1/models/m0/weights?layer=99").refused(404);
    let samples = client.get("/v1/samples").json();
    assert_eq!(samples["samples"], json!([]));
    assert!(!samples["reason"].as_str().unwrap().is_empty());
}

#[test]
fn test_images_come_from_the_dataset_of_the_model() {
    let mut model = model(3, false);
    model.training.dataset = source();
    let (_dir, server) = served(&model, options());
    let mut client = Client::new(server.address());
    let answer = client.get("/v1/samples?class=4&n=3").json();
    let samples = answer["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 3);
    assert!(samples.iter().all(|s| s["label"] == 4 && base64(s["image"].as_str().unwrap()).len() == 784));
    let image = base64(samples[0]["image"].as_str().unwrap());
    let percentile = client.ask("POST", "/v1/activations", RAW, &image).json()["energy_percentile"].as_f64().unwrap();
    assert!((0.0..=100.0).contains(&percentile));
    client.get("/v1/samples?class=x").refused(400);
    client.get("/v1/samples?n=101").refused(400);
}

#[test]
fn runs_are_shown_and_followed_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    model(3, false).save(dir.path()).unwrap();
    let runs = dir.path().join("runs");
    run(&runs, "one");
    run(dir.path(), "outside");
    // A process that trains holds the run's lock; how old its metrics are says nothing.
    let lock = std::fs::File::create(runs.join("one/.lock")).unwrap();
    lock.lock().unwrap();
    std::fs::create_dir(runs.join("empty")).unwrap();
    let server = start(&[dir.path()], lenet_serve::Options { runs: Some(runs.clone()), ..options() });
    let mut client = Client::new(server.address());
    let list = client.get("/v1/runs").json();
    assert_eq!(list["runs"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(list["runs"][0]["status"], "training");
    lock.unlock().unwrap();
    assert_eq!(client.get("/v1/runs").json()["runs"][0]["status"], "stopped");
    assert_eq!(
        (&list["runs"][0]["name"], &list["runs"][0]["done"], &list["training"]),
        (&json!("one"), &json!(1), &json!(false))
    );
    assert_eq!(client.get("/v1/runs/one/metrics").json()["metrics"], json!([{"epoch": 1, "test_accuracy": 0.5}]));
    for name in ["empty", "nobody", "..", "%2e%2e", "..%2foutside", "..\\outside", ".", ""] {
        for what in ["metrics", "events", "report"] {
            client.get(&format!("/v1/runs/{name}/{what}")).refused(404);
        }
    }
    client.get("/v1/runs/../outside/metrics").refused(404);
    client.get("/v1/runs/one/report").refused(404);
    std::fs::write(runs.join("one/report.html"), "<p>report").unwrap();
    let report = client.get("/v1/runs/one/report");
    assert!(report.header("content-security-policy").unwrap().contains("sandbox"), "{report:?}");

    let body = b"{\"recipe\": \"lenet\", \"epochs\": 1}";
    let typed = "Content-Type: application/json\r\n";
    client.ask("POST", "/v1/runs", typed, body).refused(403);
    client.ask("POST", "/v1/runs/one/resume", typed, b"{}").refused(403);
    client.ask("POST", "/v1/runs/one/stop", typed, b"{}").refused(403);

    // The stream: what is there, and then what comes.
    let mut stream = Client::new(server.address());
    stream.send(b"GET /v1/runs/one/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut text = String::new();
    let mut until = |words: &str| {
        while !text.contains(words) {
            let mut bytes = [0; 1024];
            let n = stream.0.read(&mut bytes).unwrap();
            assert!(n > 0, "the stream has ended: {text}");
            text += std::str::from_utf8(&bytes[..n]).unwrap();
        }
    };
    until("text/event-stream");
    until("event: epoch\ndata: {\"epoch\":1");
    std::fs::write(runs.join("one/metrics.jsonl"), "{\"epoch\":1,\"test_accuracy\":0.5}\n{\"epoch\":2}\n").unwrap();
    until("event: epoch\ndata: {\"epoch\":2}");
    assert!(!text.contains("restart"));
}

#[test]
fn only_listed_things_can_be_trained() {
    let dir = tempfile::tempdir().unwrap();
    model(3, false).save(dir.path()).unwrap();
    let allowed = lenet_serve::Options {
        runs: Some(dir.path().join("runs")),
        trainer: Some(dir.path().join("no-program")),
        ..options()
    };
    let server = start(&[dir.path()], allowed);
    let mut client = Client::new(server.address());
    let typed = "Content-Type: application/json\r\n";
    for (status, body) in [
        (400, "{"),
        (400, "{\"recipe\": \"lenet\", \"out\": \"/tmp/x\"}"),
        (422, "{\"recipe\": \"../lenet\"}"),
        (422, "{\"recipe\": \"--help\"}"),
        (422, "{\"recipe\": \"lenet\", \"epochs\": 0}"),
        (422, "{\"recipe\": \"lenet\", \"dataset\": \"idx:/etc\"}"),
        (500, "{\"recipe\": \"lenet\", \"epochs\": 1}"),
    ] {
        client.ask("POST", "/v1/runs", typed, body.as_bytes()).refused(status);
    }
    client.ask("POST", "/v1/runs", "", b"{\"recipe\": \"lenet\"}").refused(415);
    client.ask("POST", "/v1/runs/nobody/stop", typed, b"").refused(404);
    assert_eq!(client.get("/v1/runs/x/stop").refused(405), "this route takes POST");
}

#[test]
fn every_file_of_the_page_is_there_and_guarded() {
    let (_dir, server) = served(&model(3, false), options());
    let mut client = Client::new(server.address());
    let page = String::from_utf8(client.get("/").body).unwrap();
    for file in ["/style.css", "/app.js", "/common.js", "/layers.js", "/sums.js", "/runs.js"] {
        let answer = client.get(file);
        assert_eq!(answer.status, 200, "{file}");
        assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'self'"));
    }
    assert!(!page.contains("http://") && !page.contains("https://"));
}
