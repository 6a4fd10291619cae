//! The table of a network: what every layer gives, holds and costs.

use super::{LayerInfo, Network, Shape};
use crate::text::thousands;
use serde::Serialize;
use std::fmt;

/// A network in numbers. As text ([`fmt::Display`]) it is a table of at most 80 columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Channels, rows, columns of one image.
    pub input: [usize; 3],
    /// The layers in order.
    pub layers: Vec<SummaryRow>,
    /// All parameters.
    pub parameters: usize,
    /// Bytes of the parameters, as 32-bit floats.
    pub parameter_bytes: u64,
    /// Multiply-adds of the forward pass for one sample, those on padding included.
    pub multiply_adds: u64,
}

/// One layer of a [`Summary`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SummaryRow {
    /// Position, as in the names of its parameters.
    pub name: String,
    /// The layer's type, as recipes spell it.
    pub kind: &'static str,
    /// Its settings in words, without those that are as usual; often empty.
    pub settings: String,
    /// Shape of what it gives for one sample: channels, rows, columns; or features.
    pub output: Vec<usize>,
    /// Its parameters.
    pub parameters: usize,
    /// Its multiply-adds for one sample.
    pub multiply_adds: u64,
}

impl Summary {
    /// The summary of a network.
    pub fn new(network: &Network) -> Self {
        Summary {
            input: network.input,
            layers: network.layers.iter().map(SummaryRow::new).collect(),
            parameters: network.learnt(),
            parameter_bytes: network.parameters as u64 * size_of::<f32>() as u64,
            multiply_adds: network.multiply_adds(),
        }
    }
}

impl SummaryRow {
    fn new(layer: &LayerInfo) -> Self {
        SummaryRow {
            name: layer.name.clone(),
            kind: layer.kind,
            settings: layer.settings.clone(),
            output: match layer.output {
                Shape::Image(chw) => chw.to_vec(),
                Shape::Flat(n) => vec![n],
            },
            parameters: layer.parameters(),
            multiply_adds: layer.multiply_adds,
        }
    }
}

/// Most columns of the text, and what is between two of the table's.
const WIDTH: usize = 80;
const GAP: &str = "  ";

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |n: u64| if n == 0 { "-".into() } else { thousands(n) };
        let mut lines = vec![
            ["#", "layer", "output", "parameters", "multiply-adds"].map(String::from),
            ["", "input", &format!("{:?}", self.input), "", ""].map(String::from),
        ];
        lines.extend(self.layers.iter().map(|row| {
            let layer = format!("{} {}", row.kind, row.settings);
            let output = format!("{:?}", row.output);
            let (parameters, multiply_adds) = (number(row.parameters as u64), number(row.multiply_adds));
            [row.name.clone(), layer.trim_end().into(), output, parameters, multiply_adds]
        }));
        let (parameters, multiply_adds) = (number(self.parameters as u64), number(self.multiply_adds));
        lines.push([String::new(), "total".into(), String::new(), parameters, multiply_adds]);

        let mut widths = [0, 1, 2, 3, 4].map(|c| lines.iter().map(|l| l[c].chars().count()).max().unwrap_or(0));
        let others = widths.iter().sum::<usize>() - widths[1] + 4 * GAP.len();
        widths[1] = widths[1].min(WIDTH.saturating_sub(others)).max("layer".len());
        let rule = "─".repeat(widths.iter().sum::<usize>() + 4 * GAP.len());
        let last = lines.len() - 1;
        for (i, [index, layer, output, parameters, multiply_adds]) in lines.iter().enumerate() {
            if i == 1 || i == last {
                writeln!(f, "{rule}")?;
            }
            let layer = shortened(layer, widths[1]);
            let text = format!("{index:>0$}{GAP}{layer:<1$}{GAP}{output:<2$}", widths[0], widths[1], widths[2]);
            let numbers = format!("{GAP}{parameters:>0$}{GAP}{multiply_adds:>1$}", widths[3], widths[4]);
            writeln!(f, "{}", (text + &numbers).trim_end())?;
        }
        let bytes = size(self.parameter_bytes);
        write!(f, "Parameters: {bytes} as 32-bit floats. Multiply-adds: of one sample, forward.")
    }
}

/// `text` in at most `width` columns.
fn shortened(text: &str, width: usize) -> String {
    match text.chars().count() > width {
        true => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        false => text.into(),
    }
}

/// Bytes in the largest unit that leaves at least one.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Conv2d, Dense, Layer, Pool, Recipe, Spec};

    fn lenet() -> Summary {
        Summary::new(&Recipe::load("lenet").unwrap().spec([1, 28, 28], 10).unwrap().infer().unwrap())
    }

    #[test]
    fn lenet_as_text() {
        let want = "
 #  layer                  output        parameters  multiply-adds
──────────────────────────────────────────────────────────────────
    input                  [1, 28, 28]
 0  conv2d 5×5, padding 2  [6, 28, 28]          156        117,600
 1  sigmoid                [6, 28, 28]            -              -
 2  avg_pool 2×2           [6, 14, 14]            -              -
 3  conv2d 5×5             [16, 10, 10]       2,416        240,000
 4  sigmoid                [16, 10, 10]           -              -
 5  avg_pool 2×2           [16, 5, 5]             -              -
 6  flatten                [400]                  -              -
 7  dense                  [120]             48,120         48,000
 8  sigmoid                [120]                  -              -
 9  dense                  [84]              10,164         10,080
10  sigmoid                [84]                   -              -
11  dense                  [10]                 850            840
──────────────────────────────────────────────────────────────────
    total                                    61,706        416,520
Parameters: 246.8 kB as 32-bit floats. Multiply-adds: of one sample, forward.";
        assert_eq!(format!("\n{}", lenet()), want);
    }

    #[test]
    fn lenet_as_json() {
        let json = serde_json::to_value(lenet()).unwrap();
        assert_eq!((json["parameters"].as_u64(), json["parameter_bytes"].as_u64()), (Some(61_706), Some(246_824)));
        let row = serde_json::json!({
            "name": "3", "kind": "conv2d", "settings": "5×5", "output": [16, 10, 10],
            "parameters": 2416, "multiply_adds": 240_000
        });
        assert_eq!(json["layers"][3], row);
    }

    #[test]
    fn the_widest_table_fits_80_columns() {
        let window = [1023, 1021];
        let conv =
            Conv2d { channels: 40, window, stride: [1000, 999], padding: [511, 510], bias: false, ..Conv2d::default() };
        let pool = Pool { window, stride: [1001, 1002], padding: [511, 510] };
        let dense = Dense { units: 1 << 19, bias: true };
        let layers = vec![Layer::Conv2d(conv), Layer::MaxPool(pool), Layer::Flatten, Layer::Dense(dense)];
        let network = Spec { input: [1, 3000, 3000], layers }.infer().unwrap();
        let text = Summary::new(&network).to_string();
        assert!(text.contains("max_pool 1023×1021, stride") && text.contains('…'), "{text}");
        assert!(text.lines().all(|l| l.chars().count() <= WIDTH), "{text}");
    }
}
