//! What PyTorch and ONNX make of an activation, and which activation a function from there could be.

use crate::spec::{Activation, Approximate};

/// An activation as a module of PyTorch and as nodes of ONNX.
pub struct Form {
    /// PyTorch's constructor.
    pub torch: String,
    /// The class that it constructs, where PyTorch has none.
    pub class: Option<&'static str>,
    /// Numbers that the nodes take, by name.
    #[cfg_attr(not(feature = "onnx"), allow(dead_code))]
    pub constants: &'static [(&'static str, f32)],
    /// Nodes in order. The last one gives the value.
    #[cfg_attr(not(feature = "onnx"), allow(dead_code))]
    pub nodes: &'static [Node],
    /// The last node's attribute `alpha`.
    #[cfg_attr(not(feature = "onnx"), allow(dead_code))]
    pub alpha: Option<f32>,
}

/// A node's name, its operator and what it takes: `X`, constants and nodes before it.
type Node = (&'static str, &'static str, &'static [&'static str]);

/// The activation's argument, among the names of nodes and constants.
pub const X: &str = "x";

/// Defines `single!("Relu")`: the node of an operator that computes the activation by itself.
macro_rules! single {
    ($op:literal) => {
        &[("", $op, &[X])]
    };
}

impl Form {
    fn new(torch: &str, nodes: &'static [Node]) -> Form {
        Form { torch: format!("nn.{torch}"), class: None, constants: &[], nodes, alpha: None }
    }

    /// With a setting; PyTorch's text has it where it is not as by default.
    fn alpha(mut self, alpha: f32, usual: f32) -> Form {
        if alpha != usual {
            self.torch = self.torch.replace("()", &format!("({alpha:?})"));
        }
        Form { alpha: Some(alpha), ..self }
    }
}

pub fn form(activation: Activation) -> Form {
    match activation {
        Activation::Sigmoid => Form::new("Sigmoid()", single!("Sigmoid")),
        Activation::Tanh => Form::new("Tanh()", single!("Tanh")),
        Activation::Relu => Form::new("ReLU()", single!("Relu")),
        Activation::Relu6 => Form {
            constants: &[("least", 0.0), ("most", 6.0)],
            ..Form::new("ReLU6()", &[("", "Clip", &[X, "least", "most"])])
        },
        Activation::LeakyRelu { slope } => Form::new("LeakyReLU()", single!("LeakyRelu")).alpha(slope, 0.01),
        Activation::Elu { alpha } => Form::new("ELU()", single!("Elu")).alpha(alpha, 1.0),
        // Operator sets before 20 have no Gelu.
        Activation::Gelu { approximate: Approximate::None } => Form {
            constants: &[("root", std::f32::consts::SQRT_2), ("one", 1.0), ("half", 0.5)],
            ..Form::new(
                "GELU()",
                &[
                    ("argument", "Div", &[X, "root"]),
                    ("erf", "Erf", &["argument"]),
                    ("sum", "Add", &["erf", "one"]),
                    ("product", "Mul", &[X, "sum"]),
                    ("", "Mul", &["product", "half"]),
                ],
            )
        },
        Activation::Gelu { approximate: Approximate::Tanh } => Form {
            constants: &[("cubic", 0.044_715), ("factor", 0.797_884_56), ("one", 1.0), ("half", 0.5)],
            ..Form::new(
                "GELU(approximate=\"tanh\")",
                &[
                    ("square", "Mul", &[X, X]),
                    ("cube", "Mul", &[X, "square"]),
                    ("small", "Mul", &["cube", "cubic"]),
                    ("inner", "Add", &[X, "small"]),
                    ("argument", "Mul", &["inner", "factor"]),
                    ("tanh", "Tanh", &["argument"]),
                    ("sum", "Add", &["tanh", "one"]),
                    ("product", "Mul", &[X, "sum"]),
                    ("", "Mul", &["product", "half"]),
                ],
            )
        },
        Activation::Silu => Form::new("SiLU()", &[("sigmoid", "Sigmoid", &[X]), ("", "Mul", &[X, "sigmoid"])]),
        Activation::HardSwish => Form::new("Hardswish()", single!("HardSwish")),
        Activation::ScaledTanh => Form {
            torch: "ScaledTanh()".into(),
            class: Some(SCALED_TANH),
            constants: &[("inner", 2.0 / 3.0), ("outer", 1.7159)],
            ..Form::new(
                "",
                &[("argument", "Mul", &[X, "inner"]), ("tanh", "Tanh", &["argument"]), ("", "Mul", &["tanh", "outer"])],
            )
        },
        Activation::Softplus => Form::new("Softplus()", single!("Softplus")),
    }
}

const SCALED_TANH: &str = "class ScaledTanh(nn.Module):
    def forward(self, x):
        return 1.7159 * torch.tanh(2 * x / 3)
";

/// The activations that a function could be which has this value at -1: each with the settings that give that value.
#[cfg(feature = "onnx")]
pub fn candidates(at_minus_1: f64) -> Vec<Activation> {
    let with_settings = |activation| match activation {
        Activation::LeakyRelu { .. } => vec![Activation::LeakyRelu { slope: -at_minus_1 as f32 }],
        Activation::Elu { .. } => vec![Activation::Elu { alpha: (at_minus_1 / libm::expm1(-1.0)) as f32 }],
        Activation::Gelu { .. } => Approximate::ALL.map(|approximate| Activation::Gelu { approximate }).into(),
        Activation::Sigmoid
        | Activation::Tanh
        | Activation::Relu
        | Activation::Relu6
        | Activation::Silu
        | Activation::HardSwish
        | Activation::ScaledTanh
        | Activation::Softplus => vec![activation],
    };
    Activation::ALL.into_iter().flat_map(with_settings).filter(|a| a.misfit().is_none()).collect()
}
