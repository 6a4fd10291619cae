//! What the GPU computes: against PyTorch in float64, and against the CPU.

use crate::kit::{Augment, Normalization, Targets, backward, error, golden, initial_buffers, initialize, networks};
use lenet::data::Dataset;
use lenet::engine::{Average, Batch, CpuEngine, CpuOptions, Engine, Pixels, TrainStep, Update};
use lenet::spec::{Network, Optimizer, OptimizerKind, Recipe, Role, TrainRecipe};
use lenet_gpu::{Gpu, GpuEngine};

/// Errors of a tensor's values, as a share of the largest.
const BOUND: f64 = 1e-5;

const NOTHING: Dataset = Dataset { shape: [0; 3], images: Vec::new(), labels: Vec::new(), classes: Vec::new() };

fn gpu() -> Gpu {
    lenet_gpu::open(true)
        .unwrap_or_else(|e| panic!("{e}; Debian's packages mesa-vulkan-drivers and libvulkan1 play one"))
}

fn on_gpu(network: Network) -> Box<dyn Engine> {
    static DATA: Dataset = NOTHING;
    Box::new(GpuEngine::new(network, gpu(), [&DATA, &DATA]).unwrap())
}

fn on_cpu(network: Network) -> Box<dyn Engine> {
    Box::new(CpuEngine::new(network, CpuOptions::default()).unwrap())
}

#[test]
fn the_golden_networks_are_pytorchs() {
    golden::first_batch(&on_cpu, BOUND);
    golden::first_batch(&on_gpu, BOUND);
}

#[test]
fn steps_of_the_golden_networks_are_pytorchs() {
    let data = golden::Data::fixture();
    for golden in golden::Golden::both() {
        // The fixture has the images of the first of them.
        golden.steps(golden.engine(&on_gpu).as_mut(), &data, 1);
    }
}

#[test]
fn random_networks_are_pytorchs() {
    networks::gradients(0..36, &on_cpu, BOUND);
    networks::gradients(0..36, &on_gpu, BOUND);
}

#[test]
fn twenty_steps_of_every_optimizer_are_pytorchs() {
    networks::steps(0..5, &on_gpu);
}

/// What recipes can say beyond the networks that PyTorch has computed: each against the CPU.
const LAYERS: [&str; 6] = [
    r#"{ type = "conv2d", channels = 8, window = 3, dilation = [2, 3], groups = 2 }, { type = "conv2d", channels = 8, window = 3, padding = 1, groups = 8 }, { type = "leaky_relu" }, { type = "max_pool", window = 3, stride = 2, padding = 1 }"#,
    r#"{ type = "dropout", rate = 0.25 }, { type = "conv2d", channels = 6, window = 5 }, { type = "batch_norm" }, { type = "prelu" }, { type = "elu" }, { type = "dropout", rate = 0.5 }"#,
    r#"{ type = "conv2d", channels = 6, window = 5 }, { type = "softplus" }, { type = "conv2d", channels = 3, window = 3, stride = 2, connections = [[0, 1], [2, 3, 5], [1, 4]] }, { type = "gelu" }"#,
    r#"{ type = "subsample", window = 2 }, { type = "scaled_tanh" }, { type = "residual", body = [{ type = "conv2d", channels = 4, window = 3, padding = 1 }, { type = "batch_norm" }], shortcut = [{ type = "conv2d", channels = 4, window = 1 }] }, { type = "silu" }, { type = "avg_pool", window = 3, padding = 1 }"#,
    r#"{ type = "conv2d", channels = 5, window = [3, 2], stride = [2, 1], padding = [1, 0], bias = false }, { type = "hard_swish" }, { type = "residual", body = [{ type = "batch_norm" }, { type = "relu" }] }, { type = "tanh" }, { type = "global_avg_pool" }"#,
    r#"{ type = "conv2d", channels = 6, window = 5, stride = 2 }, { type = "leaky_relu", slope = 0.2 }, { type = "conv2d", channels = 4, window = 3, padding = 1 }, { type = "elu", alpha = 0.5 }, { type = "conv2d", channels = 4, window = 3, padding = 1 }, { type = "gelu", approximate = "tanh" }, { type = "conv2d", channels = 4, window = 3, padding = 1 }, { type = "relu6" }"#,
];

fn recipe(layers: &str, output: &str) -> Recipe {
    let text = format!(
        "[data]\nsource = \"fashion-mnist\"\n[model]\nlayers = [{layers}, {{ type = \"flatten\" }}, {{ type = \"{output}\", units = \"classes\" }}]\n"
    );
    Recipe::parse(&text, "parity.toml").unwrap()
}

/// Images, [2, 11, 13], with much of the blackness that real ones have.
fn images(n: usize) -> Dataset {
    let byte = |i: usize| (i.wrapping_mul(2_654_435_761) >> 11) as u8;
    let images = (0..n * 2 * 11 * 13).map(|i| byte(i).saturating_sub(100)).collect();
    let labels = (0..n).map(|i| (i * 7 % 5) as u16).collect();
    Dataset { shape: [2, 11, 13], images, labels, classes: (0..5).map(|c| c.to_string()).collect() }
}

#[test]
fn the_whole_kit_is_the_cpus() {
    let data = images(60);
    let tables = Normalization { mean: vec![0.25, 0.5], std: vec![0.5, 0.25] }.tables();
    let weights = [0.5, 2.0, 1.0, 0.25, 3.0];
    let shifted = Augment { shift: 2, flip: true, rotate: 10.0, cutout: 3, ..Augment::default() };
    let mixed = Augment { mixup: 0.4, ..shifted.clone() };
    for (number, layers) in LAYERS.iter().enumerate() {
        let output = if number == 3 { "rbf" } else { "dense" };
        let network = recipe(layers, output).spec(data.shape, 5).unwrap().infer().unwrap();
        let mut gpu = GpuEngine::new(network.clone(), gpu(), [&data, &data]).unwrap();
        let mut cpu = CpuEngine::new(network.clone(), CpuOptions::default()).unwrap();
        let parameters = initialize(&network, &TrainRecipe { seed: number as u64, ..TrainRecipe::default() });
        for engine in [&mut gpu as &mut dyn Engine, &mut cpu] {
            engine.set_parameters(&parameters).unwrap();
            engine.set_buffers(&initial_buffers(&network)).unwrap();
        }
        let indices: Vec<u32> = (0..37).map(|i| i * 23 % 60).collect();
        let batch = Batch {
            pixels: Pixels::Bytes { data: &data.images, tables: &tables },
            labels: &data.labels,
            indices: &indices,
        };
        for (augment, targets) in [
            (None, Targets::default()),
            (Some(&shifted), Targets { smoothing: 0.1, weights: &weights }),
            (Some(&mixed), Targets { smoothing: 0.0, weights: &weights }),
        ] {
            let how = TrainStep { seed: 3, epoch: 2, augment, targets };
            let [ours, theirs] = [&mut gpu as &mut dyn Engine, &mut cpu].map(|e| backward(e, &batch, &how));
            let place = format!("network {number}, {augment:?}, {targets:?}");
            assert!((ours.loss - theirs.loss).abs() < BOUND * theirs.loss, "{place}: {ours:?} {theirs:?}");
            assert_eq!((ours.samples, ours.correct), (theirs.samples, theirs.correct), "{place}");
            let largest = cpu.gradients().iter().fold(0.0f64, |m, &g| m.max(f64::from(g).abs()));
            for t in network.tensors() {
                let [ours, theirs] = [&gpu as &dyn Engine, &cpu].map(|e| &e.gradients()[t.range.clone()]);
                let e = error(ours, theirs, 0.1 * largest);
                assert!(e < BOUND, "{place}: gradient of {} off by {e:.1e}", t.name);
                // What a table of connections leaves out never learns.
                let missing = t.mask.iter().flatten().zip(ours).filter(|(live, _)| !**live);
                assert!(missing.into_iter().all(|(_, g)| *g == 0.0), "{place}");
            }
            let e = error(gpu.buffers(), cpu.buffers(), 1e-3);
            assert!(e < BOUND, "{place}: buffers off by {e:.1e}");
        }
        let [ours, theirs] = [&mut gpu as &mut dyn Engine, &mut cpu].map(|e| e.evaluate(&batch).unwrap());
        assert!((ours.loss - theirs.loss).abs() < BOUND * theirs.loss && ours.correct == theirs.correct);
    }
}

#[test]
fn optimizers_clipping_and_averages_are_the_cpus() {
    let data = images(40);
    let tables = Normalization::unit(2).tables();
    let network = recipe(
        r#"{ type = "conv2d", channels = 4, window = 5, bias = false }, { type = "batch_norm" }, { type = "tanh" }"#,
        "dense",
    );
    let network = network.spec(data.shape, 5).unwrap().infer().unwrap();
    let sgd = Optimizer::default();
    let kinds = [
        sgd,
        Optimizer { momentum: 0.9, weight_decay: 0.01, ..sgd },
        Optimizer { momentum: 0.9, nesterov: true, weight_decay: 0.01, decay_norms_and_biases: true, ..sgd },
        Optimizer { kind: OptimizerKind::Adam, weight_decay: 0.01, eps: 1e-4, ..sgd },
        Optimizer { kind: OptimizerKind::AdamW, weight_decay: 0.05, eps: 1e-4, ..sgd },
        Optimizer { kind: OptimizerKind::Muon, momentum: 0.9, nesterov: true, weight_decay: 0.05, eps: 1e-4, ..sgd },
    ];
    let indices: Vec<u32> = (0..40).collect();
    let pixels = Pixels::Bytes { data: &data.images, tables: &tables };
    let batch = Batch { pixels, labels: &data.labels, indices: &indices };
    for (number, optimizer) in kinds.into_iter().enumerate() {
        let train = |engine: &mut dyn Engine| {
            engine.set_parameters(&initialize(&network, &TrainRecipe::default())).unwrap();
            let (parameters, buffers) = (engine.parameters().to_vec(), engine.buffers().to_vec());
            let mut average = Average { parameters, buffers };
            for step in 1..=4 {
                backward(engine, &batch, &TrainStep::default());
                let update = Update { optimizer, lr: 0.002, scale: 1.0, step };
                match number % 2 {
                    0 => engine.update_clipped(0.05, update),
                    _ => engine.update(update),
                }
                engine.average(&mut average, 0.2);
            }
            engine.settle(Some(&mut average)).unwrap();
            average
        };
        let mut gpu = GpuEngine::new(network.clone(), gpu(), [&data, &data]).unwrap();
        let mut cpu = CpuEngine::new(network.clone(), CpuOptions::default()).unwrap();
        let (ours, theirs) = (train(&mut gpu), train(&mut cpu));
        for (what, ours, theirs) in [
            ("parameters", gpu.parameters(), cpu.parameters()),
            ("state", gpu.optimizer_state(), cpu.optimizer_state()),
            ("average", &ours.parameters, &theirs.parameters),
            ("average of buffers", &ours.buffers, &theirs.buffers),
        ] {
            let e = error(ours, theirs, 1e-6);
            assert!(e < BOUND, "{optimizer:?}: {what} off by {e:.1e}");
        }
        let start = initialize(&network, &TrainRecipe::default());
        assert!(
            network
                .tensors()
                .all(|t| t.role == Role::Bias || gpu.parameters()[t.range.clone()] != start[t.range.clone()])
        );
    }
}

#[test]
fn batches_of_any_size_are_the_cpus() {
    let data = golden::Data::fixture();
    let golden = &golden::Golden::both()[0];
    let (mut gpu, mut cpu) = (golden.engine(&on_gpu), golden.engine(&on_cpu));
    for n in [1, 7, 83, 255, 256, 500] {
        let indices: Vec<u32> = (0..n).collect();
        for engine in [&mut gpu, &mut cpu] {
            backward(engine.as_mut(), &data.batch(&indices), &TrainStep::default());
        }
        for t in golden.network.tensors() {
            let e = error(&gpu.gradients()[t.range.clone()], &cpu.gradients()[t.range.clone()], 0.0);
            assert!(e < BOUND, "{n} images: gradient of {} off by {e:.1e}", t.name);
        }
    }
}
