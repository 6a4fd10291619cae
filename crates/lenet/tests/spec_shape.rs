//! Shape inference against counting, and specs as JSON.

use lenet::spec::*;

/// Positions of a window, counted one by one: how often it fits from the padded edge on.
fn positions(size: usize, window: usize, stride: usize, padding: usize) -> usize {
    (0..).take_while(|p| p * stride + window <= size + 2 * padding).count()
}

fn with_head(input: [usize; 3], layer: Layer) -> Spec {
    Spec { input, layers: vec![layer, Layer::Flatten, Layer::Dense(Dense { units: 2, bias: true })] }
}

#[test]
fn windows_fit_as_often_as_counted() {
    let mut seen = 0;
    for (rows, columns) in [(1, 1), (5, 9), (12, 7), (28, 28)] {
        for window in [[1, 1], [2, 3], [5, 5], [3, 7]] {
            for stride in [[1, 1], [2, 1], [3, 4]] {
                for padding in [[0, 0], [1, 0], [1, 1], [2, 3]] {
                    let image = [3, rows, columns];
                    let [oh, ow] = [0, 1].map(|a| positions(image[a + 1], window[a], stride[a], padding[a]));
                    let conv = Layer::Conv2d(Conv2d { channels: 4, window, stride, padding, ..Conv2d::default() });
                    let network = with_head(image, conv).infer();
                    assert_eq!(network.is_ok(), oh > 0 && ow > 0, "{image:?} {window:?} {stride:?} {padding:?}");
                    if let Ok(network) = network {
                        let conv = &network.layers()[0];
                        assert_eq!(conv.output, Shape::Image([4, oh, ow]));
                        assert_eq!(conv.parameters(), 4 * 3 * window[0] * window[1] + 4);
                        assert_eq!(conv.multiply_adds, (4 * 3 * window[0] * window[1] * oh * ow) as u64);
                        seen += 1;
                    }
                    // PyTorch refuses to pool with more padding than half of the window.
                    let half = padding[0] * 2 <= window[0] && padding[1] * 2 <= window[1];
                    let network = with_head(image, Layer::MaxPool(Pool { window, stride, padding })).infer();
                    assert_eq!(network.is_ok(), half && oh > 0 && ow > 0);
                    if let Ok(network) = network {
                        assert_eq!(network.layers()[0].output, Shape::Image([3, oh, ow]));
                    }
                }
            }
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn a_spec_is_readable_json() {
    let text = r#"{"input":[1,28,28],"layers":[
        {"type":"conv2d","channels":6,"window":[5,3],"stride":[2,1],"padding":[2,0],"bias":false},{"type":"relu"},
        {"type":"avg_pool","window":[2,2],"stride":[2,2],"padding":[0,0]},{"type":"flatten"},
        {"type":"dense","units":10,"bias":true}]}"#;
    let spec = Spec::from_json(text).unwrap();
    let conv =
        Conv2d { channels: 6, window: [5, 3], stride: [2, 1], padding: [2, 0], bias: false, ..Conv2d::default() };
    let pool = Pool { window: [2, 2], stride: [2, 2], padding: [0, 0] };
    let relu = Layer::Activation(Activation::Relu);
    let dense = Dense { units: 10, bias: true };
    let layers = vec![Layer::Conv2d(conv), relu, Layer::AvgPool(pool), Layer::Flatten, Layer::Dense(dense)];
    assert_eq!(spec, Spec { input: [1, 28, 28], layers });
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    assert_eq!(spec.to_json(), compact);
}

#[test]
fn json_that_is_no_spec() {
    let error = |layer: &str| {
        let text = format!("{{\"input\":[1,2,2],\"layers\":[{layer}]}}");
        Spec::from_json(&text).unwrap_err().to_string()
    };
    for (layer, want) in [
        (
            r#"{"type":"dense","units":1,"bias":true,"unit":2}"#,
            "dense: unknown key \"unit\" (known: type, units, bias)",
        ),
        (r#"{"type":"relu","slope":1}"#, "relu: unknown key \"slope\" (known: type)"),
        (r#"{"type":"dense","units":1}"#, "dense: \"bias\" is missing"),
        (r#"{"type":"dense","units":-1,"bias":true}"#, "dense: units: cannot be -1"),
        (r#"{"type":"conv2d","window":[3]}"#, "conv2d: window: must be 2 numbers, not 1"),
        (r#"{"type":"conv3d"}"#, "conv3d: this type of layer is not known"),
        (r#"{"units":1}"#, "\"type\" is missing"),
    ] {
        assert_eq!(error(layer), format!("layers: 0: {want}"));
    }
    assert!(Spec::from_json(r#"{"input":[1,2],"layers":[]}"#).is_err());
    assert!(Spec::from_json(r#"{"input":[1,2,3],"layers":[],"extra":0}"#).is_err());
}

#[test]
fn a_hostile_spec_ends_in_an_error_of_inference() {
    let huge = u64::MAX;
    for layer in [
        r#"{"type":"conv2d","channels":1000000000,"window":[5,5],"stride":[1,1],"padding":[0,0],"bias":true}"#.into(),
        format!(r#"{{"type":"conv2d","channels":1,"window":[{huge},1],"stride":[1,1],"padding":[0,0],"bias":true}}"#),
        format!(r#"{{"type":"conv2d","channels":1,"window":[1,1],"stride":[1,1],"padding":[{huge},0],"bias":true}}"#),
        r#"{"type":"max_pool","window":[1,1],"stride":[0,1],"padding":[0,0]}"#.into(),
        format!(r#"{{"type":"flatten"}},{{"type":"dense","units":{huge},"bias":true}}"#),
    ] {
        let spec = Spec::from_json(&format!("{{\"input\":[1,28,28],\"layers\":[{layer}]}}")).unwrap();
        assert!(matches!(spec.infer(), Err(SpecError::TooLarge { .. } | SpecError::Zero { .. })), "{layer}");
    }
    let flat = |input| Spec { input, layers: vec![Layer::Flatten] };
    assert!(matches!(flat([usize::MAX, 2, 2]).infer(), Err(SpecError::Input { .. })));
    assert!(matches!(flat([0, 2, 2]).infer(), Err(SpecError::EmptyInput(_))));
}

#[test]
fn initialisers_are_their_names() {
    for init in Init::ALL {
        assert_eq!(init.name().parse(), Ok(init));
        assert_eq!(init.to_string(), init.name());
    }
    assert!("zeros".parse::<Init>().is_err());
}
