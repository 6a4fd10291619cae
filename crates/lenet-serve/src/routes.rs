//! What the server answers: one table. Routing, the `Allow` header, who may call, and the names of routes in metrics follow
//! from it; `openapi.json` is tested against it.
//!
//! A new route is a row here, a handler, and an operation in `openapi.json`.

use crate::guard::Caller;
use crate::http::{Problem, Response, ok};
use crate::page::{files, look, runs, training};
use crate::request::Call;
use crate::{infer, predict, prometheus};
use hyper::Method;
use std::pin::Pin;

/// What a handler returns: its answer, later.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send + 'a>>;

/// A row: what answers a method at the paths of a pattern.
pub struct Route {
    /// The method; GET is also HEAD.
    pub method: Method,
    /// Pattern of the path: `{name}` and `{version}` stand for one segment each.
    pub path: &'static str,
    /// The name of the route in metrics.
    pub label: &'static str,
    /// Who may call it.
    pub caller: Caller,
    /// What answers.
    pub handler: for<'a> fn(Call<'a>) -> Answer<'a>,
    /// What it is for, as the document says it. The page's files have none: they are no part of the public interface.
    #[cfg_attr(not(test), expect(dead_code, reason = "the document is tested against it"))]
    pub summary: Option<&'static str>,
}

impl Route {
    /// The methods that it takes, as the header `Allow` lists them.
    pub fn allow(&self) -> &str {
        if self.method == Method::GET { "GET, HEAD" } else { self.method.as_str() }
    }
}

/// A row of the public interface: method, path (`as` its name in metrics, if another), caller, handler, summary.
macro_rules! row {
    ($method:ident $path:literal, $caller:ident, $handler:path, $summary:literal) => {
        row!($method $path as $path, $caller, $handler, $summary)
    };
    ($method:ident $path:literal as $label:literal, $caller:ident, $handler:path, $summary:literal) => {
        Route {
            method: Method::$method,
            path: $path,
            label: $label,
            caller: Caller::$caller,
            handler: |call| Box::pin($handler(call)),
            summary: Some($summary),
        }
    };
}

/// A row of a file of the page, which holds nothing that is secret: path, content type, file.
macro_rules! page {
    ($path:literal, $content_type:literal, $file:literal) => {
        Route {
            method: Method::GET,
            path: $path,
            label: $path,
            caller: Caller::Anyone,
            handler: |_| {
                let response = files::file($content_type, include_bytes!(concat!("../page/", $file)));
                Box::pin(std::future::ready(Ok(response)))
            },
            summary: None,
        }
    };
}

/// All routes. What is not here does not exist.
pub static ROUTES: &[Route] = &[
    row!(GET "/v2", Token, infer::server, "What the server is"),
    row!(GET "/v2/health/live", Anyone, infer::live, "Whether the server lives"),
    row!(GET "/v2/health/ready", Anyone, infer::ready, "Whether the server takes requests"),
    row!(GET "/v2/models/{name}", Token, infer::metadata, "What a model takes and gives"),
    row!(GET "/v2/models/{name}/versions/{version}" as "/v2/models/{name}",
         Token, infer::metadata, "What a model takes and gives"),
    row!(GET "/v2/models/{name}/ready", Token, infer::model_ready, "Whether a model takes requests"),
    row!(GET "/v2/models/{name}/versions/{version}/ready" as "/v2/models/{name}/ready",
         Token, infer::model_ready, "Whether a model takes requests"),
    row!(POST "/v2/models/{name}/infer", Token, infer::infer, "Logits of a batch of images"),
    row!(POST "/v2/models/{name}/versions/{version}/infer" as "/v2/models/{name}/infer",
         Token, infer::infer, "Logits of a batch of images"),
    row!(POST "/v1/predict", Token, predict::predict, "What a picture shows"),
    row!(GET "/v1/models", Token, predict::models, "The models"),
    row!(GET "/v1/models/{name}/weights", Token, look::weights, "What a cell of a layer is computed with"),
    row!(POST "/v1/activations", Token, look::activations, "What every layer gives for an image"),
    row!(GET "/v1/samples", Token, look::samples, "Test images of the model's dataset"),
    row!(GET "/v1/runs", Token, runs::list, "The runs of the server's directory"),
    row!(POST "/v1/runs", Trainer, training::start, "Start a training"),
    row!(GET "/v1/runs/{name}/metrics", Token, runs::metrics, "A run's metrics"),
    row!(GET "/v1/runs/{name}/events", Token, runs::events, "A run's metrics as they come"),
    row!(GET "/v1/runs/{name}/report", Token, runs::report, "A run's report"),
    row!(POST "/v1/runs/{name}/stop", Trainer, training::stop, "Stop a training"),
    row!(POST "/v1/runs/{name}/resume", Trainer, training::resume, "Go on with a training"),
    row!(GET "/metrics", Token, prometheus::metrics, "What the server has counted"),
    row!(GET "/openapi.json", Token, document, "This document"),
    page!("/", "text/html; charset=utf-8", "index.html"),
    page!("/style.css", "text/css; charset=utf-8", "style.css"),
    page!("/app.js", "text/javascript; charset=utf-8", "app.js"),
    page!("/common.js", "text/javascript; charset=utf-8", "common.js"),
    page!("/layers.js", "text/javascript; charset=utf-8", "layers.js"),
    page!("/sums.js", "text/javascript; charset=utf-8", "sums.js"),
    page!("/runs.js", "text/javascript; charset=utf-8", "runs.js"),
];

/// The document that describes the routes.
const OPENAPI: &str = include_str!("openapi.json");

async fn document(_: Call<'_>) -> Result<Response, Problem> {
    Ok(ok("application/json", OPENAPI))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    /// A path without the names of its parameters, which the document may choose: `/v1/runs/{}/stop`.
    fn shape(path: &str) -> String {
        let segments = path.split('/').map(|s| if s.starts_with('{') { "{}" } else { s });
        segments.collect::<Vec<_>>().join("/")
    }

    /// Method and shape of a path, with what the document is to say of it.
    type Table = BTreeMap<(String, String), (String, Caller)>;

    /// The operations of the document.
    fn documented() -> Table {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let caller = |operation: &Value| {
            let forbidden = operation["responses"]["403"]["description"].as_str().unwrap_or_default();
            match operation.get("security") {
                Some(none) if *none == json!([]) => Caller::Anyone,
                _ if forbidden.contains("Trainings are not allowed") => Caller::Trainer,
                _ => Caller::Token,
            }
        };
        let paths = document["paths"].as_object().unwrap().iter();
        let operations = paths.flat_map(|(path, all)| all.as_object().unwrap().iter().map(move |o| (path, o)));
        let row = |(path, (method, operation)): (&String, (&String, &Value))| {
            let summary = operation["summary"].as_str().unwrap().to_string();
            ((method.to_uppercase(), shape(path)), (summary, caller(operation)))
        };
        operations.map(row).collect()
    }

    #[test]
    fn the_document_describes_the_public_rows_and_no_others() {
        let public = ROUTES
            .iter()
            .filter_map(|r| Some(((r.method.to_string(), shape(r.path)), (r.summary?.to_string(), r.caller))));
        assert_eq!(public.collect::<Table>(), documented());
    }

    #[test]
    fn no_row_hides_another() {
        let mut seen: Vec<(&Method, String)> = ROUTES.iter().map(|r| (&r.method, shape(r.path))).collect();
        seen.sort_by_key(|(method, path)| (path.clone(), method.to_string()));
        seen.dedup();
        assert_eq!(seen.len(), ROUTES.len());
        // One path is open to all or to none: who may call is asked before the method is.
        for (a, b) in ROUTES.iter().flat_map(|a| ROUTES.iter().map(move |b| (a, b))) {
            let same = shape(a.path) == shape(b.path);
            assert!(!same || (a.caller == Caller::Anyone) == (b.caller == Caller::Anyone), "{}", a.path);
        }
    }
}
