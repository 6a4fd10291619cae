//! The messages of an ONNX file, as far as a network needs them: views into the file's bytes.

use super::OnnxError;
use super::wire::{Fields, Wire, varint};

/// Most nodes, initialisers, or graph inputs that are read.
const LIMIT_ITEMS: usize = 10_000;
/// Most inputs, outputs or attributes of a node, and integers of an attribute or of a tensor of sizes.
const LIMIT_PARTS: usize = 64;
/// Most values of one tensor, as many as a layer may have parameters.
const LIMIT_VALUES: usize = 1 << 26;
/// Longest name, in bytes.
const LIMIT_NAME: usize = 4096;

/// The file.
#[derive(Debug, Default)]
pub struct File<'a> {
    /// Version of the operators of the default domain.
    pub opset: i64,
    /// What wrote the file.
    pub producer: &'a str,
    /// Free pairs of names and texts.
    pub metadata: Vec<(&'a str, &'a str)>,
    /// What is computed.
    pub graph: Graph<'a>,
}

/// Nodes in the order of their computation, and what they start from.
#[derive(Debug, Default)]
pub struct Graph<'a> {
    pub nodes: Vec<Node<'a>>,
    pub initializers: Vec<Tensor<'a>>,
    pub inputs: Vec<Input<'a>>,
    pub outputs: Vec<&'a str>,
}

/// An input of the graph.
#[derive(Debug, Default)]
pub struct Input<'a> {
    pub name: &'a str,
    /// Element type, as [`Tensor::kind`].
    pub kind: u64,
    /// Sizes; `None` where the file leaves them open.
    pub dims: Vec<Option<i64>>,
}

/// One operator.
#[derive(Clone, Debug, Default)]
pub struct Node<'a> {
    pub name: &'a str,
    pub op: &'a str,
    pub domain: &'a str,
    pub inputs: Vec<&'a str>,
    pub outputs: Vec<&'a str>,
    pub attributes: Vec<(&'a str, Attribute<'a>)>,
}

/// The value of an attribute.
#[derive(Clone, Debug)]
pub enum Attribute<'a> {
    Int(i64),
    Float(f32),
    Text(&'a [u8]),
    Ints(Vec<i64>),
    Tensor(Tensor<'a>),
    /// Lists of floats and texts, graphs: nothing that a network of these operators has.
    Other,
}

/// A constant; its values are decoded when they are needed.
#[derive(Clone, Debug, Default)]
pub struct Tensor<'a> {
    pub name: &'a str,
    pub dims: Vec<usize>,
    /// 1 float, 2 uint8, 7 int64, 11 double.
    pub kind: u64,
    external: bool,
    message: &'a [u8],
}

fn text(wire: Wire<'_>) -> Result<&str, OnnxError> {
    std::str::from_utf8(bytes(wire)?).map_err(|_| OnnxError::Malformed("a text is no UTF-8".into()))
}

/// A text that messages may repeat: short, and in one line.
fn name(wire: Wire<'_>) -> Result<&str, OnnxError> {
    let name = text(wire)?;
    if name.len() > LIMIT_NAME || name.contains(char::is_control) {
        let what = format!("a name has control characters, or more than {LIMIT_NAME} bytes");
        return Err(OnnxError::Malformed(what));
    }
    Ok(name)
}

fn bytes(wire: Wire<'_>) -> Result<&[u8], OnnxError> {
    match wire {
        Wire::Bytes(bytes) => Ok(bytes),
        _ => Err(OnnxError::Malformed("a number stands where text or a message belongs".into())),
    }
}

fn int(wire: Wire) -> Result<i64, OnnxError> {
    match wire {
        Wire::Varint(n) => Ok(n as i64),
        _ => Err(OnnxError::Malformed("something else stands where a whole number belongs".into())),
    }
}

fn push<T>(list: &mut Vec<T>, item: T, limit: usize, what: &'static str) -> Result<(), OnnxError> {
    if list.len() == limit {
        return Err(OnnxError::TooMany { what, limit });
    }
    list.push(item);
    Ok(())
}

/// Adds the numbers of a field, which may be packed.
fn push_ints(list: &mut Vec<i64>, wire: Wire, what: &'static str) -> Result<(), OnnxError> {
    match wire {
        Wire::Bytes(mut packed) => {
            while !packed.is_empty() {
                push(list, varint(&mut packed)? as i64, LIMIT_PARTS, what)?;
            }
            Ok(())
        }
        wire => push(list, int(wire)?, LIMIT_PARTS, what),
    }
}

/// Reads a file's messages.
///
/// # Errors
/// Bytes that are no such messages, and more of anything than a network can have.
pub fn file(message: &[u8]) -> Result<File<'_>, OnnxError> {
    let mut file = File::default();
    let mut graphs = 0;
    for field in Fields(message) {
        match field? {
            (2, wire) => file.producer = text(wire)?,
            (7, wire) => {
                graphs += 1;
                file.graph = graph(bytes(wire)?)?;
            }
            (8, wire) => {
                let (mut domain, mut version) = ("", 0);
                for field in Fields(bytes(wire)?) {
                    match field? {
                        (1, wire) => domain = name(wire)?,
                        (2, wire) => version = int(wire)?,
                        _ => {}
                    }
                }
                if domain.is_empty() || domain == "ai.onnx" {
                    file.opset = version;
                }
            }
            (14, wire) => push(&mut file.metadata, pair(bytes(wire)?)?, LIMIT_ITEMS, "entries of metadata")?,
            _ => {}
        }
    }
    match graphs {
        1 => Ok(file),
        n => Err(OnnxError::Malformed(format!("it holds {n} graphs instead of one"))),
    }
}

fn pair(message: &[u8]) -> Result<(&str, &str), OnnxError> {
    let (mut key, mut value) = ("", "");
    for field in Fields(message) {
        match field? {
            (1, wire) => key = text(wire)?,
            (2, wire) => value = text(wire)?,
            _ => {}
        }
    }
    Ok((key, value))
}

fn graph(message: &[u8]) -> Result<Graph<'_>, OnnxError> {
    let mut g = Graph::default();
    for field in Fields(message) {
        match field? {
            (1, wire) => push(&mut g.nodes, node(bytes(wire)?)?, LIMIT_ITEMS, "nodes")?,
            (5, wire) => push(&mut g.initializers, tensor(bytes(wire)?)?, LIMIT_ITEMS, "initialisers")?,
            (11, wire) => push(&mut g.inputs, input(bytes(wire)?)?, LIMIT_ITEMS, "inputs of the graph")?,
            (12, wire) => {
                let name = input(bytes(wire)?)?.name;
                push(&mut g.outputs, name, LIMIT_PARTS, "outputs of the graph")?;
            }
            (15, _) => return Err(OnnxError::Graph("it has sparse initialisers: save them dense".into())),
            _ => {}
        }
    }
    Ok(g)
}

fn input(message: &[u8]) -> Result<Input<'_>, OnnxError> {
    let mut input = Input::default();
    for field in Fields(message) {
        match field? {
            (1, wire) => input.name = name(wire)?,
            // A type, in it a tensor's type, in it the element type and the shape, a dimension a message.
            (2, wire) => {
                for kind in Fields(bytes(wire)?) {
                    let (1, tensor) = kind? else { continue };
                    for field in Fields(bytes(tensor)?) {
                        match field? {
                            (1, wire) => input.kind = int(wire)? as u64,
                            (2, wire) => shape(&mut input.dims, bytes(wire)?)?,
                            _ => {}
                        }
                    }
                }
            }
            _ => {}
        }
    }
    Ok(input)
}

fn shape(dims: &mut Vec<Option<i64>>, message: &[u8]) -> Result<(), OnnxError> {
    for field in Fields(message) {
        let (1, dim) = field? else { continue };
        let mut size = None;
        for field in Fields(bytes(dim)?) {
            if let (1, wire) = field? {
                size = Some(int(wire)?);
            }
        }
        push(dims, size, LIMIT_PARTS, "dimensions")?;
    }
    Ok(())
}

fn node(message: &[u8]) -> Result<Node<'_>, OnnxError> {
    let mut node = Node::default();
    for field in Fields(message) {
        match field? {
            (1, wire) => push(&mut node.inputs, name(wire)?, LIMIT_PARTS, "inputs of a node")?,
            (2, wire) => push(&mut node.outputs, name(wire)?, LIMIT_PARTS, "outputs of a node")?,
            (3, wire) => node.name = name(wire)?,
            (4, wire) => node.op = name(wire)?,
            (5, wire) => push(&mut node.attributes, attribute(bytes(wire)?)?, LIMIT_PARTS, "attributes of a node")?,
            (7, wire) => node.domain = name(wire)?,
            _ => {}
        }
    }
    Ok(node)
}

fn attribute(message: &[u8]) -> Result<(&str, Attribute<'_>), OnnxError> {
    let (mut key, mut kind, mut f, mut i, mut s) = ("", 0, 0.0, 0, &[][..]);
    let (mut t, mut ints) = (None, Vec::new());
    for field in Fields(message) {
        match field? {
            (1, wire) => key = name(wire)?,
            (2, Wire::Fixed32(bits)) => f = f32::from_bits(bits),
            (3, wire) => i = int(wire)?,
            (4, wire) => s = bytes(wire)?,
            (5, wire) => t = Some(tensor(bytes(wire)?)?),
            (8, wire) => push_ints(&mut ints, wire, "integers of an attribute")?,
            (20, wire) => kind = int(wire)?,
            _ => {}
        }
    }
    let value = match (kind, t) {
        (1, _) => Attribute::Float(f),
        (2, _) => Attribute::Int(i),
        (3, _) => Attribute::Text(s),
        (4, Some(tensor)) => Attribute::Tensor(tensor),
        (7, _) => Attribute::Ints(ints),
        _ => Attribute::Other,
    };
    Ok((key, value))
}

fn tensor(message: &[u8]) -> Result<Tensor<'_>, OnnxError> {
    let mut tensor = Tensor { message, ..Tensor::default() };
    let mut dims = Vec::new();
    for field in Fields(message) {
        match field? {
            (1, wire) => push_ints(&mut dims, wire, "dimensions of a tensor")?,
            (2, wire) => tensor.kind = int(wire)? as u64,
            (8, wire) => tensor.name = name(wire)?,
            (13, _) => tensor.external = true,
            (14, wire) => tensor.external |= int(wire)? != 0,
            _ => {}
        }
    }
    let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?));
    if count.is_none_or(|n| n > LIMIT_VALUES) {
        return Err(tensor.error(format!("has the dimensions {dims:?}: at most {LIMIT_VALUES} values are read")));
    }
    tensor.dims = dims.into_iter().map(|d| d as usize).collect();
    Ok(tensor)
}

impl Tensor<'_> {
    /// Number of values that the dimensions promise.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    pub fn error(&self, what: impl Into<String>) -> OnnxError {
        OnnxError::Tensor { name: self.name.to_string(), what: what.into() }
    }

    /// The values of float and double tensors, as many as the dimensions promise, all finite.
    pub fn floats(&self) -> Result<Vec<f32>, OnnxError> {
        let (field, width) = match self.kind {
            1 => (4, 4),
            11 => (10, 8),
            kind => {
                return Err(
                    self.error(format!("has the element type {kind}, only 1 (float) and 11 (double) can be weights"))
                );
            }
        };
        let bytes = self.numbers(field, width)?;
        let values: Vec<f32> = match width {
            4 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            _ => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        };
        match values.iter().position(|v| !v.is_finite()) {
            Some(at) => Err(self.error(format!("holds a value that is not finite, at position {at}"))),
            None => Ok(values),
        }
    }

    /// The bytes of fixed-width numbers: from the raw data (field 9), or from the field of their type.
    fn numbers(&self, field: u64, width: usize) -> Result<Vec<u8>, OnnxError> {
        if self.external {
            return Err(OnnxError::External(self.name.to_string()));
        }
        let most = self.len() * width;
        let mut all = Vec::new();
        for part in Fields(self.message) {
            let (number, wire) = part?;
            if number != 9 && number != field {
                continue;
            }
            match wire {
                Wire::Bytes(bytes) => all.extend_from_slice(bytes.get(..most + 1).unwrap_or(bytes)),
                Wire::Fixed32(bits) => all.extend(bits.to_le_bytes()),
                Wire::Fixed64(bits) => all.extend(bits.to_le_bytes()),
                Wire::Varint(_) => {}
            }
            if all.len() > most {
                break;
            }
        }
        if all.len() != most {
            return Err(self.error(format!(
                "does not hold the {} values of its dimensions {:?}",
                self.len(),
                self.dims
            )));
        }
        Ok(all)
    }

    /// The values of a short tensor of 64-bit integers, as sizes and axes are given.
    pub fn ints(&self) -> Result<Vec<i64>, OnnxError> {
        if self.kind != 7 || self.len() > LIMIT_PARTS {
            return Err(self.error("is no short list of 64-bit integers"));
        }
        let mut all = Vec::new();
        for field in Fields(self.message) {
            if let (7, wire) = field? {
                push_ints(&mut all, wire, "integers of a tensor")?;
            }
        }
        if all.is_empty() {
            let bytes = self.numbers(9, 8)?;
            all = bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect();
        }
        if all.len() != self.len() {
            return Err(self.error(format!("does not hold the {} values of its dimensions", self.len())));
        }
        Ok(all)
    }

    /// Whether this is a single false or 0.
    pub fn is_zero(&self) -> bool {
        let zero = |wire| match wire {
            Wire::Varint(n) => n == 0,
            Wire::Fixed32(n) => n == 0,
            Wire::Fixed64(n) => n == 0,
            Wire::Bytes(all) => all.iter().all(|b| *b == 0),
        };
        !self.external
            && Fields(self.message).all(|f| f.is_ok_and(|(n, wire)| !matches!(n, 4..=7 | 9..=11) || zero(wire)))
    }
}
