//! Shape inference: from a spec to a network. What a layer is at its place, its own file says.

use super::layers::{At, Fit, LIMIT, Placed};
use super::{BufferInfo, Geometry, Layer, LayerInfo, Network, ParameterInfo, Role, Shape, Spec, SpecError};
use super::{Misfit, Residual};

/// Most layers, those within residual blocks included.
const LIMIT_LAYERS: usize = 1000;

/// Most values in all activations of one sample, borders for padding included. Engines keep them all, of 16 samples at a
/// time, each thread for itself: 17 GB. VGG-16 for pictures of 512×512 pixels has about half as many.
const LIMIT_ACTIVATIONS: usize = if usize::BITS < 64 { 1 << 24 } else { 1 << 28 };

/// The network as far as it is known.
struct Builder {
    input: [usize; 3],
    layers: Vec<LayerInfo>,
    parameters: usize,
    buffers: usize,
    /// Values of all activations, with their borders.
    activations: usize,
    /// Of each value, the input first, the rows and columns around it that padding asks for.
    borders: Vec<[usize; 2]>,
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
        self.push(at, body, Some(shortcut), Placed::new(Geometry::Add, a).said(["sum".into()]))
    }

    /// Counts what a layer gives, and the border that its padding asks for around what it takes, which others may take too.
    fn count(&mut self, at: &At, source: usize, p: &Placed) -> Result<(), SpecError> {
        if let Geometry::Conv2d(s) = &p.geometry {
            let with = |border: [usize; 2]| [s.ic, s.ih + 2 * border[0], s.iw + 2 * border[1]];
            let border = &mut self.borders[source];
            let before: usize = with(*border).iter().product();
            *border = [border[0].max(s.padding[0]), border[1].max(s.padding[1])];
            let padded = with(*border);
            at.limited("padded input", &padded, LIMIT)?;
            self.activations += padded.iter().product::<usize>() - before;
        }
        self.borders.push([0, 0]);
        self.activations += p.output.len();
        let (layer, kind, values, limit) = (at.name.clone(), at.kind, self.activations, LIMIT_ACTIVATIONS);
        if values > limit { Err(SpecError::TooManyValues { layer, kind, values, limit }) } else { Ok(()) }
    }

    fn push(&mut self, at: At, source: usize, other: Option<usize>, p: Placed) -> Result<usize, SpecError> {
        self.count(&at, source, &p)?;
        let (offset, slab) = (&mut self.parameters, &mut self.buffers);
        let mut take = |suffix: &str, shape: Vec<usize>, role: Role, mask: Option<Vec<bool>>| {
            let len = shape.iter().product::<usize>();
            *offset += len;
            let (name, range) = (format!("{}.{suffix}", at.name), *offset - len..*offset);
            let start = if role == Role::Scale { p.start } else { 0.0 };
            ParameterInfo { name, shape, range, fan_in: p.fan_in, fan_out: p.fan_out, role, start, mask }
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
            settings: p.settings.join(", "),
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
        let (activations, borders) = (self.input.iter().product(), vec![[0, 0]]);
        let mut builder =
            Builder { input: self.input, layers: Vec::new(), parameters: 0, buffers: 0, activations, borders };
        let end = builder.sequence(&self.layers, "", 0)?;
        match builder.shape(end) {
            Shape::Flat(outputs) => {
                let Builder { input, layers, parameters, buffers, .. } = builder;
                Ok(Network { input, layers, parameters, buffers, outputs })
            }
            image => Err(SpecError::NotFlat(image)),
        }
    }
}
