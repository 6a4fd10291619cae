//! `lenet inspect`.

use crate::args::{InspectArgs, Saliency, Split};
use crate::devices::cpu;
use crate::failure::{Failure, file_error};
use crate::inputs;
use crate::plan;
use crate::terminal::print_line;
use lenet::data::picture::{Invert, prepare};
use lenet::data::{Dataset, Options};
use lenet::draw::Scene;
use lenet::engine::CpuEngine;
use lenet::inspect::picture::{self, Input, Occlusion};
use lenet::inspect::{self, Array};
use lenet::model::Model;
use lenet::predict::{Distribution, Verdict};
use lenet::thousands;
use std::path::Path;

/// Images of a class, unless their number is given: side by side, and of a mean.
const SHOWN: usize = 4;
const AVERAGED: usize = 100;

/// What a view gives: a picture, and the numbers in it.
struct View {
    scene: Scene,
    arrays: Vec<Array>,
}

pub fn run(args: &InspectArgs) -> Result<(), Failure> {
    let format = args.output.as_deref().map(Format::of).transpose()?;
    if args.network {
        return network(args, format);
    }
    if !args.set.set.is_empty() {
        return Err(Failure::Usage("--set changes recipes, and goes with --network alone".into()));
    }
    let mut session = Session::new(args)?;
    let view = if args.filters {
        session.filters()?
    } else if args.means {
        session.means()?
    } else {
        let inputs = session.inputs()?;
        match args.saliency {
            Some(how) => session.saliency(&inputs, how)?,
            None if args.ood => session.ood(&inputs)?,
            None => session.activations(&inputs)?,
        }
    };
    if let Some(path) = &args.npz {
        write(path, &inspect::npz(&view.arrays)?, &format!("{} arrays", view.arrays.len()))?;
    }
    if let Some(path) = &args.safetensors {
        write(path, &inspect::safetensors(&view.arrays)?, &format!("{} arrays", view.arrays.len()))?;
    }
    draw(args, format, &view.scene)
}

/// How a picture is written.
#[derive(Clone, Copy)]
enum Format {
    Png,
    Svg,
}

impl Format {
    fn of(path: &Path) -> Result<Format, Failure> {
        match path.extension().map(|e| e.to_string_lossy().to_lowercase()).as_deref() {
            Some("png") => Ok(Format::Png),
            Some("svg") => Ok(Format::Svg),
            _ => Err(Failure::Usage(format!("{}: pictures are written as .png or .svg", path.display()))),
        }
    }
}

fn draw(args: &InspectArgs, format: Option<Format>, scene: &Scene) -> Result<(), Failure> {
    let (Some(path), Some(format)) = (&args.output, format) else { return Ok(()) };
    let bytes = match format {
        Format::Png => scene.to_png()?,
        Format::Svg => scene.to_svg()?.into_bytes(),
    };
    write(path, &bytes, &scene.title)
}

fn write(path: &Path, bytes: &[u8], what: &str) -> Result<(), Failure> {
    lenet::write_atomic(path, bytes).map_err(file_error("write", path))?;
    print_line(&format!("{}: {what}", path.display()))
}

fn network(args: &InspectArgs, format: Option<Format>) -> Result<(), Failure> {
    if args.npz.is_some() || args.safetensors.is_some() {
        return Err(Failure::Usage(
            "--network is a picture alone: the model's numbers are in its model.safetensors".into(),
        ));
    }
    let network = plan::network_of(&args.what, &args.set)?;
    let name = Path::new(&args.what).file_stem().map_or(args.what.clone(), |n| n.to_string_lossy().into_owned());
    draw(args, format, &picture::network(&network, &name))
}

/// A model that is looked into, and what was asked.
struct Session<'a> {
    args: &'a InspectArgs,
    model: Model,
    engine: CpuEngine,
    data: Option<Dataset>,
}

impl<'a> Session<'a> {
    fn new(args: &'a InspectArgs) -> Result<Self, Failure> {
        let path = Path::new(&args.what);
        let model = Model::load(path)?;
        // What is not there is told before anything takes time.
        inspect::find_layers(&model.network, &args.layers)?;
        for name in args.classes.iter().chain(&args.target) {
            inspect::find_class(&model.classes, name)?;
        }
        let engine = cpu::engine_of(&model, 0)?;
        Ok(Session { args, model, engine, data: None })
    }

    fn data(&mut self) -> Result<&Dataset, Failure> {
        if self.data.is_none() {
            let source = self.args.data.as_deref().unwrap_or(&self.model.training.dataset);
            let loaded = inputs::dataset(source, &Options { shape: Some(self.model.spec.input), skip_bad: true })?;
            let data = if self.args.split == Split::Train { loaded.train } else { loaded.test };
            inputs::check(&self.model, &data, source)?;
            self.data = Some(data);
        }
        self.data.as_ref().ok_or_else(|| Failure::failed("there is no data"))
    }

    fn split(&self) -> &'static str {
        if self.args.split == Split::Train { "training" } else { "test" }
    }

    fn classes(&self) -> Result<Vec<usize>, Failure> {
        Ok(self.args.classes.iter().map(|c| inspect::find_class(&self.model.classes, c)).collect::<Result<_, _>>()?)
    }

    /// All inputs that were asked for, with what the model says of them.
    fn inputs(&mut self) -> Result<Vec<Input>, Failure> {
        let mut inputs = self.of_data()?;
        for path in &self.args.images {
            let named = |e| Failure::Failed(format!("{}: {e}", path.display()));
            let prepared = prepare(&inputs::picture(path)?, self.model.spec.input, Invert::Auto).map_err(named)?;
            if prepared.inverted {
                eprintln!("{}: dark on light, taken as its negative", path.display());
            }
            let title = path.file_name().map_or("-".into(), |n| n.to_string_lossy().into_owned());
            inputs.push(input(prepared.pixels, "pictures", title, None));
        }
        for number in 0..self.args.noise {
            let pixels = inspect::noise(&self.model.network, self.args.seed, number);
            inputs.push(input(pixels, "noise", format!("noise {number}"), None));
        }
        let verdicts = inspect::verdicts(&self.model, &mut self.engine, &pixels(&inputs))?;
        inputs.iter_mut().zip(verdicts).for_each(|(input, verdict)| input.verdict = verdict);
        Ok(inputs)
    }

    /// The images of the data that were asked for: of classes, then by place.
    fn of_data(&mut self) -> Result<Vec<Input>, Failure> {
        let (args, mut classes) = (self.args, self.classes()?);
        let mut count = args.count.unwrap_or(SHOWN);
        if classes.is_empty() && args.indices.is_empty() && args.images.is_empty() && args.noise == 0 {
            classes = (0..self.model.classes.len()).collect();
            count = args.count.unwrap_or(1);
        }
        if classes.is_empty() && args.indices.is_empty() {
            return Ok(Vec::new());
        }
        let (split, names) = (self.split(), self.model.classes.clone());
        let data = self.data()?;
        let mut chosen = Vec::new();
        for class in classes {
            let of_class = (0..data.len()).filter(|&i| usize::from(data.labels[i]) == class);
            let before = chosen.len();
            chosen.extend(of_class.take(count));
            if chosen.len() == before {
                return Err(inspect::InspectError::NoImages(names[class].clone()).into());
            }
        }
        for &index in &args.indices {
            if index >= data.len() {
                let (n, last) = (thousands(data.len() as u64), data.len().saturating_sub(1));
                return Err(Failure::Usage(format!("--index {index}: there are {n} {split} images, 0 to {last}")));
            }
            chosen.push(index);
        }
        let one = |index: usize| {
            let class = usize::from(data.labels[index]);
            let group = names.get(class).map_or("", String::as_str);
            input(data.image(index).to_vec(), group, format!("{split} image {index}"), Some(class))
        };
        Ok(chosen.into_iter().map(one).collect())
    }

    /// Positions of the layers to draw.
    fn layers(&self) -> Result<Vec<usize>, Failure> {
        match self.args.layers.is_empty() {
            true => Ok(inspect::first_two(&self.model.network)),
            false => Ok(inspect::find_layers(&self.model.network, &self.args.layers)?),
        }
    }

    /// Whether numbers of this layer are wanted.
    fn exports(&self, number: usize, drawn: &[usize]) -> bool {
        self.args.layers.is_empty() || number == 0 || drawn.contains(&number)
    }

    fn activations(&self, inputs: &[Input]) -> Result<View, Failure> {
        let (layers, drawn) = (inspect::activations(&self.model, &pixels(inputs))?, self.layers()?);
        let wanted = layers.iter().enumerate().filter(|(i, _)| self.exports(*i, &drawn));
        let arrays = wanted.map(|(_, layer)| Array::from(layer)).collect();
        Ok(View { scene: picture::activations(&self.model, inputs, &layers, &drawn), arrays })
    }

    fn filters(&self) -> Result<View, Failure> {
        let (_, shape, values) = inspect::filters(&self.model)?;
        let arrays = vec![Array { name: "filters".into(), shape: shape.to_vec(), values: values.to_vec() }];
        Ok(View { scene: picture::filters(&self.model)?, arrays })
    }

    fn means(&mut self) -> Result<View, Failure> {
        let mut classes = self.classes()?;
        if classes.is_empty() {
            classes = (0..self.model.classes.len()).collect();
        }
        self.data()?;
        let Some(data) = &self.data else { return Err(Failure::failed("there is no data")) };
        let count = self.args.count.unwrap_or(AVERAGED);
        let (means, drawn) = (inspect::class_means(&self.model, data, &classes, count)?, self.layers()?);
        let mut arrays: Vec<Array> = Vec::new();
        let layers = means.first().map_or(0, |m| m.layers.len());
        for number in (0..layers).filter(|&n| self.exports(n, &drawn)) {
            let of: Vec<Array> = means.iter().filter_map(|m| m.layers.get(number)).map(Array::from).collect();
            let Some(first) = of.first() else { continue };
            let shape = [&[of.len()], &first.shape[1..]].concat();
            arrays.push(Array {
                name: first.name.clone(),
                shape,
                values: of.iter().flat_map(|a| a.values.clone()).collect(),
            });
        }
        Ok(View { scene: picture::means(&self.model, &means, &drawn), arrays })
    }

    fn saliency(&mut self, inputs: &[Input], how: Saliency) -> Result<View, Failure> {
        let target = self.args.target.as_ref().map(|t| inspect::find_class(&self.model.classes, t)).transpose()?;
        let targets: Vec<usize> = inputs.iter().map(|i| target.unwrap_or(i.verdict.class)).collect();
        let [c, h, w] = self.model.network.input();
        let (pixels, model, n) = (pixels(inputs), &self.model, inputs.len());
        let (values, occlusion, shape) = match how {
            Saliency::Gradient => (inspect::gradient_times_input(model, &pixels, &targets)?, None, vec![n, c, h, w]),
            Saliency::Occlusion => {
                let values = inspect::occlusion(model, &mut self.engine, &pixels, &targets)?;
                (values, Some(Occlusion { window: inspect::occlusion_window(model) }), vec![n, h, w])
            }
        };
        let scene = picture::saliency(model, inputs, &values, occlusion, target);
        Ok(View { scene, arrays: vec![Array { name: "saliency".into(), shape, values }] })
    }

    fn ood(&mut self, inputs: &[Input]) -> Result<View, Failure> {
        self.data()?;
        let Some(data) = &self.data else { return Err(Failure::failed("there is no data")) };
        let known = inspect::verdicts(&self.model, &mut self.engine, &data.images)?;
        let described = format!("{} {} images", thousands(data.len() as u64), self.split());
        let energies = Distribution::new(known.iter().map(|v| v.energy));
        for input in inputs {
            let (score, share) = (input.verdict.energy, energies.percentile(input.verdict.energy));
            print_line(&format!("{}: energy {score:.3}, stranger than {share:.1}% of {described}", input.name()))?;
        }
        let of = |name: &str, verdicts: &[Verdict], score: fn(&Verdict) -> f64| Array {
            name: name.into(),
            shape: vec![verdicts.len()],
            values: verdicts.iter().map(|v| score(v) as f32).collect(),
        };
        let own: Vec<Verdict> = inputs.iter().map(|i| i.verdict).collect();
        let arrays = vec![
            of("energy", &own, |v| v.energy),
            of("max_logit", &own, |v| v.max_logit),
            of("known_energy", &known, |v| v.energy),
            of("known_max_logit", &known, |v| v.max_logit),
        ];
        Ok(View { scene: picture::ood(&self.model, inputs, &known, &described), arrays })
    }
}

/// An input whose verdict is not known yet.
fn input(pixels: Vec<u8>, group: &str, title: String, class: Option<usize>) -> Input {
    Input { pixels, group: group.into(), title, class, verdict: Verdict::of(&[]) }
}

fn pixels(inputs: &[Input]) -> Vec<u8> {
    inputs.iter().flat_map(|i| i.pixels.iter().copied()).collect()
}
