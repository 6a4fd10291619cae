//! Twenty steps of every optimizer under every schedule, against PyTorch in float64 (`bench/pytorch_optimizers.py`).

use crate::kit::{Path, numbers};
use lenet::kernel::optim::{Rule, Slabs, Step};
use lenet::kernel::sums::sum_of_squares;
use lenet::spec::Recipe;
use serde_json::Value;

#[test]
fn optimizers_and_schedules_do_what_pytorchs_do() {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/optimizers.json")).unwrap();
    let [start, curve, goal] = ["start", "curve", "goal"].map(|key| numbers(&fixture[key]));
    let [per_epoch, epochs] = ["per_epoch", "epochs"].map(|key| fixture[key].as_u64().unwrap() as usize);
    let cases = fixture["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 60);
    for case in cases {
        let (optimizer, schedule) = (case["optimizer"].as_str().unwrap(), case["schedule"].as_str().unwrap());
        let sets = format!("lr={} epochs={epochs} optimizer={optimizer} schedule={schedule}", fixture["lr"]);
        let recipe = Recipe::load_with("lenet", &sets.split(' ').collect::<Vec<_>>()).unwrap().train;
        let (rates, end, clip) = (numbers(&case["lr"]), numbers(&case["end"]), case["clip"].as_f64().unwrap());
        for path in Path::available() {
            let mut w: Vec<f32> = start.iter().map(|&s| s as f32).collect();
            let slots = recipe.optimizer.slots();
            let [mut first, mut second] = [1, 2].map(|n| vec![0.0f32; if slots >= n { w.len() } else { 0 }]);
            for (step, want) in rates.iter().enumerate() {
                let g: Vec<f32> = (0..w.len()).map(|i| curve[i] as f32 * (w[i] - goal[i] as f32)).collect();
                let norm = sum_of_squares(&g).sqrt();
                let scale = if clip > 0.0 { (clip / (norm + 1e-6)).min(1.0) as f32 } else { 1.0 };
                let lr = recipe.schedule.lr(recipe.lr, step, per_epoch, epochs);
                assert!((f64::from(lr) / want - 1.0).abs() < 1e-5, "{sets}, step {step}: {lr} for {want}");
                let slabs = Slabs { g: &g, w: &mut w, first: &mut first, second: &mut second };
                Step::new(recipe.optimizer, lr, scale, step as u64 + 1).run(path, Rule::Own, true, slabs);
            }
            let largest = end.iter().fold(0.0f64, |m, e| m.max(e.abs()));
            for (w, e) in w.iter().zip(&end) {
                assert!((f64::from(*w) - e).abs() <= 1e-5 * largest, "{sets}, clip {clip}, {path}: {w} for {e}");
            }
        }
    }
}
