//! Shape inference: from a spec to a network. What a layer is at its place, its own file says.

use super::layers::{At, Fit, LIMIT, Placed};
use super::{BufferInfo, Geometry, Layer, LayerInfo, Network, ParameterInfo, Role, Shape, Spec, SpecError};
use super::{Misfit, Residual};

/// Most layers, those within residual blocks included.
const LIMIT_LAYERS: usize = 1000;

/// The network as far as it is known.
struct Builder {
    input: [usize; 3],
    layers: Vec<LayerInfo>,
    parameters: usize,
    buffers: usize,
}

impl Builder {
    /// Shape of a value.
    fn shape(&self, source: usize) -> Shape {
        source.checked_sub(1).map_or(Shape::Image(self.input), |i| self.layers[i].output)
    }

    /// Adds layers one behind the other; returns where the last one's output is.
    fn sequence(&mut self, layers: &[Layer], prefix: &str, from: usize) -> Result<usize, SpecError> {
        let mut source = from;
        for (index, layer) in layers.iter().enumerate() {
            let at = At { name: format!("{prefix}{index}"), kind: layer.kind(), input: self.shape(source) };
            source = match layer.fit(&at)? {
                Fit::One(placed) => self.push(at, source, None, placed)?,
                Fit::Ways(block) => self.residual(block, at, source)?,
            };
        }
        Ok(source)
    }

    fn residual(&mut self, block: &Residual, at: At, from: usize) -> Result<usize, SpecError> {
        if block.body.is_empty() {
            return Err(at.misfit(Misfit::NoBody));
        }
        let body = self.sequence(&block.body, &format!("{}.body.", at.name), from)?;
        let shortcut = self.sequence(&block.shortcut, &format!("{}.shortcut.", at.name), from)?;
        let (a, b) = (self.shape(body), self.shape(shortcut));
        if a != b {
            return Err(at.misfit(Misfit::Sum { body: a, shortcut: b }));
        }
        self.push(at, body, Some(shortcut), Placed::new(Geometry::Add, a))
    }

    fn push(&mut self, at: At, source: usize, other: Option<usize>, p: Placed) -> Result<usize, SpecError> {
        let (offset, slab) = (&mut self.parameters, &mut self.buffers);
        let mut take = |suffix: &str, shape: Vec<usize>, role: Role, mask: Option<Vec<bool>>| {
            let len = shape.iter().product::<usize>();
            *offset += len;
            let (name, range) = (format!("{}.{suffix}", at.name), *offset - len..*offset);
            ParameterInfo { name, shape, range, fan_in: p.fan_in, fan_out: p.fan_out, role, mask }
        };
        let first = p.weight.first().copied();
        let weight = first.map(|_| take("weight", p.weight, p.role, p.mask));
        let bias = first.filter(|_| p.bias).map(|n| take("bias", vec![n], Role::Bias, None));
        let buffers = p.buffers.into_iter().map(|(suffix, shape)| {
            let len = shape.iter().product::<usize>();
            *slab += len;
            BufferInfo { name: format!("{}.{suffix}", at.name), shape, range: *slab - len..*slab }
        });
        let buffers = buffers.collect();
        at.limited("all parameters so far", &[self.parameters.max(self.buffers)], LIMIT)?;
        if self.layers.len() == LIMIT_LAYERS {
            return Err(SpecError::TooManyLayers { layer: at.name, kind: at.kind, limit: LIMIT_LAYERS });
        }
        let multiply_adds = weight.as_ref().map_or(0, |w| w.count() as u64 * p.uses as u64);
        let (At { name, kind, input }, geometry, output) = (at, p.geometry, p.output);
        self.layers.push(LayerInfo {
            name,
            source,
            other,
            kind,
            input,
            output,
            geometry,
            weight,
            bias,
            buffers,
            multiply_adds,
        });
        Ok(self.layers.len())
    }
}

impl Spec {
    /// Infers every layer's shapes, geometry, parameters and cost.
    ///
    /// # Errors
    /// The first layer that does not fit, with the shape that reaches it.
    pub fn infer(&self) -> Result<Network, SpecError> {
        if self.layers.is_empty() {
            return Err(SpecError::NoLayers);
        }
        if self.input.contains(&0) {
            return Err(SpecError::EmptyInput(self.input));
        }
        let product = self.input.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
        if product.is_none_or(|n| n > LIMIT) {
            return Err(SpecError::Input { input: self.input, limit: LIMIT });
        }
        let mut builder = Builder { input: self.input, layers: Vec::new(), parameters: 0, buffers: 0 };
        let end = builder.sequence(&self.layers, "", 0)?;
        match builder.shape(end) {
            Shape::Flat(outputs) => {
                let Builder { input, layers, parameters, buffers } = builder;
                Ok(Network { input, layers, parameters, buffers, outputs })
            }
            image => Err(SpecError::NotFlat(image)),
        }
    }
}
