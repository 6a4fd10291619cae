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
                    let [oh2, ow2] = [0, 1].map(|a| positions(image[a + 1], 2 * window[a] - 1, stride[a], padding[a]));
                    let dilated = Conv2d::new(4, window).stride(stride).padding(padding).dilation(2);
                    let output = with_head(image, dilated.into()).infer().ok().map(|n| n.layers()[0].output);
                    assert_eq!(output, (oh2 > 0 && ow2 > 0).then_some(Shape::Image([4, oh2, ow2])));
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
fn all_activations_together_are_bounded() {
    let relu = Layer::Activation(Activation::Relu);
    let spec = |input, layers: Vec<Layer>| Spec {
        input,
        layers: [layers, vec![Layer::GlobalAvgPool, Layer::Flatten]].concat(),
    };
    let error = spec([1, 4096, 4096], vec![relu.clone(); 60]).infer().unwrap_err();
    let words = "layer 15 (relu) is too large: all activations so far are 285212672 values a sample, which take 18.3 GB of \
                 memory for 16 samples, at most 268435456 is possible";
    assert_eq!((error.to_string().as_str(), error.layer()), (words, Some(15)));
    assert!(spec([1, 4096, 4096], vec![relu.clone(); 14]).infer().is_ok());
    // VGG-16 with batch normalisation, for pictures of 512 by 512.
    let conv = |channels, window, padding| Layer::Conv2d(Conv2d { channels, window, padding, ..Conv2d::default() });
    let stage = |(channels, n)| {
        let block = [conv(channels, [3, 3], [1, 1]), Layer::BatchNorm(BatchNorm::default()), relu.clone()];
        let blocks = (0..n).flat_map(|_| block.clone()).collect();
        [blocks, vec![Layer::MaxPool(Pool { window: [2, 2], stride: [2, 2], padding: [0, 0] })]].concat()
    };
    let vgg: Vec<Layer> = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)].into_iter().flat_map(stage).collect();
    assert!(spec([3, 512, 512], vgg).infer().is_ok());
    // Borders count, also where two layers want them of one value: here 4100 rows, there as many columns, of 4 channels.
    let wide = |borders: [[usize; 2]; 2]| {
        let [body, shortcut] = borders.map(|[r, c]| vec![conv(4, [2 * r + 1, 2 * c + 1], [r, c])]);
        spec([4, 100, 100], vec![Layer::Residual(Residual { body, shortcut })]).infer()
    };
    assert!(wide([[2000, 0], [2000, 0]]).is_ok() && wide([[0, 2000], [0, 2000]]).is_ok());
    let error = wide([[2000, 0], [0, 2000]]).unwrap_err().to_string();
    assert_eq!(
        error,
        "layer 0.shortcut.0 (conv2d) is too large: padded input 4×4100×4100, at most 67108864 is possible"
    );
    let (stride, padding) = ([4095, 4095], [2047, 2047]);
    let large = Layer::Conv2d(Conv2d { stride, padding, ..Conv2d::default() });
    let error = spec([1, 1, 1], vec![large; 17]).infer().unwrap_err();
    assert!(matches!(error, SpecError::TooManyValues { .. }) && error.layer() == Some(16), "{error}");
}

#[test]
fn initialisers_are_their_names() {
    for init in Init::ALL {
        assert_eq!(init.name().parse(), Ok(init));
        assert_eq!(init.to_string(), init.name());
    }
    assert!("zeros".parse::<Init>().is_err());
}
