//! Running a sweep's trials, and ranking them.

use super::plan::{Sweep, SweepError, Trial};
use super::team::{Team, Told};
use crate::data::Loaded;
use crate::engine::{CpuEngine, CpuOptions, resolve_threads};
use crate::fs::write_atomic;
use crate::spec::Recipe;
use crate::train::{Control, EpochMetrics, Event, Outcome, Run, Trainer};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How a trial ended, or where it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// All its epochs are done.
    Done,
    /// It was not among the best of a rung.
    Stopped,
    /// It could not go on, for this reason.
    Failed(String),
    /// It has epochs to go.
    Open,
}

impl Status {
    /// One word.
    pub fn word(&self) -> &'static str {
        match self {
            Status::Done => "done",
            Status::Stopped => "stopped",
            Status::Failed(_) => "failed",
            Status::Open => "open",
        }
    }
}

/// A trial and what came of it so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The trial.
    pub trial: Trial,
    /// How it ended.
    pub status: Status,
    /// Learnt parameters of its network; 0 if there is none.
    pub parameters: usize,
    /// Metrics of its last epoch.
    pub last: Option<EpochMetrics>,
    /// Seconds of all its epochs.
    pub seconds: f64,
}

impl Row {
    /// Accuracy on the validation images after its last epoch; below all others if there is none.
    pub fn score(&self) -> f64 {
        match self.status {
            Status::Failed(_) => -1.0,
            _ => self.last.as_ref().and_then(|m| m.val_accuracy).unwrap_or(-1.0),
        }
    }
}

/// What a sweep tells on its way.
#[derive(Clone, Debug)]
pub enum Progress<'a> {
    /// A rung begins: its number, how many there are, the epochs that its trials go to, and how many trials.
    Rung {
        /// From 0.
        rung: usize,
        /// How many there are.
        of: usize,
        /// Epochs that its trials go to.
        epochs: usize,
        /// Trials in it.
        trials: usize,
        /// Epochs that all trials have to go from here to the end of the sweep, if none fails or ends early.
        left: usize,
    },
    /// A trial begins, or goes on after so many epochs.
    Started {
        /// The trial.
        trial: &'a Trial,
        /// Epochs done.
        epoch: usize,
    },
    /// A trial has done an epoch.
    Epoch {
        /// The trial.
        trial: &'a Trial,
        /// What came of it.
        metrics: &'a EpochMetrics,
    },
    /// A trial is through a rung, or has failed.
    Trial(&'a Row),
}

/// What a sweep found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// All trials, the best configuration first.
    pub rows: Vec<Row>,
    /// Whether all trials have ended.
    pub finished: bool,
}

/// A sweep in its directory.
pub struct Sweeper<'a> {
    sweep: &'a Sweep,
    data: &'a Loaded,
    dir: PathBuf,
    recipes: Vec<Result<Recipe, String>>,
    rows: Vec<Row>,
    workers: usize,
    threads: usize,
    /// The other processes that take trials, if there are any.
    team: Option<&'a dyn Team>,
}

impl<'a> Sweeper<'a> {
    /// Prepares a sweep in a directory, new or of the same sweep: `text` is its file's.
    ///
    /// # Errors
    /// A directory of another sweep, or that cannot be written; or that no trial can run.
    pub fn new(
        sweep: &'a Sweep,
        text: &str,
        data: &'a Loaded,
        dir: &Path,
        parallel: usize,
    ) -> Result<Self, SweepError> {
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |error| SweepError::Io { path, error }
        };
        let trials = sweep.trials();
        let fits = |recipe: Recipe| -> Result<(Recipe, usize), String> {
            let spec = recipe.spec(data.train.shape, data.train.classes.len()).map_err(|e| e.to_string())?;
            let network = spec.infer().map_err(|e| e.to_string())?;
            Ok((recipe, network.learnt()))
        };
        let recipes: Vec<Result<(Recipe, usize), String>> =
            trials.iter().map(|t| sweep.recipe(t).map_err(|e| e.to_string()).and_then(fits)).collect();
        if let Some(Err(first)) = recipes.first().filter(|_| recipes.iter().all(Result::is_err)) {
            return Err(SweepError::AllInvalid(first.clone()));
        }
        let file = dir.join("sweep.toml");
        match std::fs::read_to_string(&file) {
            Ok(known) if known != text => return Err(SweepError::Other(dir.to_path_buf())),
            Ok(_) => {}
            Err(_) => {
                std::fs::create_dir_all(dir).map_err(io(dir))?;
                write_atomic(&file, text.as_bytes()).map_err(io(&file))?;
            }
        }
        let rows = trials.into_iter().zip(&recipes).map(|(trial, recipe)| Row {
            trial,
            status: match recipe {
                Ok(_) => Status::Open,
                Err(reason) => Status::Failed(reason.clone()),
            },
            parameters: recipe.as_ref().map_or(0, |r| r.1),
            last: None,
            seconds: 0.0,
        });
        let workers = if parallel > 0 { parallel } else { resolve_threads(0) };
        Ok(Sweeper {
            sweep,
            data,
            dir: dir.to_path_buf(),
            rows: rows.collect(),
            recipes: recipes.into_iter().map(|r| r.map(|r| r.0)).collect(),
            workers,
            threads: if workers == 1 { 0 } else { 1 },
            team: None,
        })
    }

    /// Spreads the trials over processes that all call [`Sweeper::run`], with so many threads for a trial that a process
    /// runs alone. Their directory must be the same, on a file system that all see.
    pub fn with_team(self, team: &'a dyn Team, threads: usize) -> Self {
        Sweeper { team: Some(team), threads: if self.workers == 1 { threads } else { 1 }, ..self }
    }

    /// Directory of a trial's run.
    pub fn trial_dir(&self, number: usize) -> PathBuf {
        self.dir.join("trials").join(format!("{number:04}"))
    }

    /// Runs what has not run yet, and writes the results; `stop` ends it early, with checkpoints.
    ///
    /// # Errors
    /// Results that cannot be written. What goes wrong in a trial is a row.
    pub fn run(
        &mut self,
        stop: &(dyn Fn() -> bool + Sync),
        on: &mut (dyn FnMut(&Progress) + Send),
    ) -> Result<Found, SweepError> {
        let epochs = self.recipes.iter().flatten().map(|r| r.train.epochs).max().unwrap_or(1);
        let rungs = self.sweep.rungs(epochs);
        let mut finished = true;
        for (number, &rung) in rungs.iter().enumerate() {
            let open: Vec<usize> = (0..self.rows.len()).filter(|&i| self.rows[i].status == Status::Open).collect();
            let (of, trials, left) = (rungs.len(), open.len(), self.left(&rungs, number, open.len()));
            on(&Progress::Rung { rung: number, of, epochs: rung, trials, left });
            if !self.rung(&open, rung, stop, on) {
                finished = false;
                break;
            }
            if number + 1 < rungs.len() {
                self.halve();
            }
        }
        let found = Found { rows: self.ranked(), finished };
        if self.team.is_none_or(|team| team.rank() == 0) {
            self.write(&found)?;
        }
        Ok(found)
    }

    /// Epochs to go from the rung `number` on, with so many trials in it.
    fn left(&self, rungs: &[usize], number: usize, trials: usize) -> usize {
        let mut done = if number > 0 { rungs[number - 1] } else { 0 };
        let (mut trials, mut left) = (trials, 0);
        for &rung in &rungs[number..] {
            left += trials * (rung - done);
            done = rung;
            trials = (trials / self.sweep.seeds).div_ceil(self.sweep.halving().factor).max(1) * self.sweep.seeds;
        }
        left
    }

    /// Brings trials to an epoch; false if it was stopped.
    fn rung(
        &mut self,
        open: &[usize],
        epochs: usize,
        stop: &(dyn Fn() -> bool + Sync),
        on: &mut (dyn FnMut(&Progress) + Send),
    ) -> bool {
        // Trial by trial in turn: neighbours in a grid take about as long as each other.
        let mine = |place: usize| self.team.is_none_or(|team| place % team.ranks() == team.rank());
        let open: Vec<usize> = open.iter().copied().enumerate().filter(|&(p, _)| mine(p)).map(|p| p.1).collect();
        let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
        let told = Mutex::new(on);
        let tell = |progress: &Progress| {
            if let Ok(mut on) = told.lock() {
                on(progress);
            }
        };
        let done: Vec<Mutex<Option<Row>>> = open.iter().map(|_| Mutex::new(None)).collect();
        std::thread::scope(|scope| {
            for _ in 0..self.workers.min(open.len()) {
                scope.spawn(|| {
                    loop {
                        let place = next.fetch_add(1, Ordering::Relaxed);
                        let Some(&i) = open.get(place) else { return };
                        let work = AssertUnwindSafe(|| self.trial(i, epochs, stop, &tell));
                        let row = match catch_unwind(work) {
                            Ok(Some(row)) => row,
                            Ok(None) => {
                                stopped.store(true, Ordering::Relaxed);
                                return;
                            }
                            Err(_) => Row { status: Status::Failed("it crashed".into()), ..self.rows[i].clone() },
                        };
                        tell(&Progress::Trial(&row));
                        if let Ok(mut done) = done[place].lock() {
                            *done = Some(row);
                        }
                    }
                });
            }
        });
        for (&i, row) in open.iter().zip(done) {
            if let Ok(Some(row)) = row.into_inner() {
                self.rows[i] = row;
            }
        }
        let stopped = stopped.into_inner();
        !self.team.map_or(stopped, |team| Told::exchange(team, stopped, &open, &mut self.rows))
    }

    /// Brings one trial to an epoch, from wherever its run is; `None` if it was stopped.
    fn trial(
        &self,
        i: usize,
        epochs: usize,
        stop: &(dyn Fn() -> bool + Sync),
        tell: &dyn Fn(&Progress),
    ) -> Option<Row> {
        let row = &self.rows[i];
        let failed = |reason: String| Some(Row { status: Status::Failed(reason), ..row.clone() });
        let recipe = match &self.recipes[i] {
            Ok(recipe) => recipe,
            Err(reason) => return failed(reason.clone()),
        };
        let dir = self.trial_dir(i);
        let run = match dir.join("recipe.toml").is_file() {
            true => Run::open(&dir),
            false => Run::create(&dir, recipe, &serde_json::json!({ "sweep": self.sweep.recipe, "trial": i })),
        };
        let run = match run {
            Ok(run) => run,
            Err(error) => return failed(error.to_string()),
        };
        let goal = epochs.min(recipe.train.epochs);
        match self.train(i, recipe, run, goal, stop, tell) {
            Ok(None) => None,
            Ok(Some(mut metrics)) => {
                // A sweep that goes on finds runs that are past this rung: what counts is how they stood at it.
                metrics.truncate(goal);
                let status = if goal == recipe.train.epochs { Status::Done } else { Status::Open };
                let seconds = metrics.iter().map(|m| m.train_seconds + m.eval_seconds).sum();
                Some(Row { status, last: metrics.last().cloned(), seconds, ..row.clone() })
            }
            Err(reason) => failed(reason),
        }
    }

    fn train(
        &self,
        i: usize,
        recipe: &Recipe,
        run: Run,
        goal: usize,
        stop: &(dyn Fn() -> bool + Sync),
        tell: &dyn Fn(&Progress),
    ) -> Result<Option<Vec<EpochMetrics>>, String> {
        let (train, test) = (&self.data.train, &self.data.test);
        let spec = recipe.spec(train.shape, train.classes.len()).map_err(|e| e.to_string())?;
        let network = spec.infer().map_err(|e| e.to_string())?;
        let options = CpuOptions { threads: self.threads, path: None };
        let engine = CpuEngine::new(network, options).map_err(|e| e.to_string())?;
        let mut trainer = Trainer::new(recipe, &self.sweep.recipe, spec, train, test, Box::new(engine), Some(run))
            .map_err(|e| e.to_string())?
            .ranked();
        // A run that goes on has its metrics from now on.
        if let Some(done) =
            trainer.run_dir().map(|r| r.metrics()).filter(|m| m.len() >= goal && goal < recipe.train.epochs)
        {
            return Ok(Some(done.to_vec()));
        }
        let mut reached = false;
        let trial = &self.rows[i].trial;
        let outcome = trainer.run(&mut |event| {
            match event {
                Event::Started { epoch, .. } => tell(&Progress::Started { trial, epoch: *epoch }),
                Event::Epoch(metrics) => {
                    tell(&Progress::Epoch { trial, metrics });
                    reached = metrics.epoch >= goal;
                }
                _ => {}
            }
            if reached || stop() { Control::Stop } else { Control::Continue }
        });
        match outcome.map_err(|e| e.to_string())? {
            Outcome::Interrupted if !reached => Ok(None),
            _ => Ok(trainer.run_dir().map(|r| r.metrics().to_vec())),
        }
    }

    /// Ends all configurations but the best of a rung.
    fn halve(&mut self) {
        let ranked = self.configurations();
        let open: Vec<usize> = ranked.into_iter().filter(|&c| self.of(c).any(|r| r.status == Status::Open)).collect();
        let kept = open.len().div_ceil(self.sweep.halving().factor).max(1);
        for configuration in &open[kept.min(open.len())..] {
            for row in self.rows.iter_mut().filter(|r| r.trial.configuration == *configuration) {
                if row.status == Status::Open {
                    row.status = Status::Stopped;
                }
            }
        }
    }

    fn of(&self, configuration: usize) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |r| r.trial.configuration == configuration)
    }

    /// Mean score of a configuration's trials; epochs first, so that what was stopped early ranks behind.
    fn standing(&self, configuration: usize) -> (usize, f64) {
        let rows: Vec<&Row> = self.of(configuration).collect();
        let epochs = rows.iter().map(|r| r.last.as_ref().map_or(0, |m| m.epoch)).min().unwrap_or(0);
        (epochs, rows.iter().map(|r| r.score()).sum::<f64>() / rows.len().max(1) as f64)
    }

    /// Configurations, the best first.
    fn configurations(&self) -> Vec<usize> {
        let n = self.rows.last().map_or(0, |r| r.trial.configuration + 1);
        let mut order: Vec<(usize, (usize, f64))> = (0..n).map(|c| (c, self.standing(c))).collect();
        order.sort_by(|a, b| b.1.0.cmp(&a.1.0).then(b.1.1.total_cmp(&a.1.1)).then(a.0.cmp(&b.0)));
        order.into_iter().map(|o| o.0).collect()
    }

    fn ranked(&self) -> Vec<Row> {
        self.configurations().into_iter().flat_map(|c| self.of(c).cloned()).collect()
    }

    /// The recipe of the best configuration, as it would be trained for good: with all training images.
    pub fn best(&self) -> Option<Recipe> {
        let best = *self.configurations().first()?;
        let number = self.of(best).next()?.trial.number;
        let mut recipe = self.recipes.get(number)?.as_ref().ok()?.clone();
        recipe.train.val_fraction = 0.0;
        recipe.train.patience = None;
        Some(recipe)
    }

    fn write(&self, found: &Found) -> Result<(), SweepError> {
        let write = |name: &str, text: &str| {
            let path = self.dir.join(name);
            write_atomic(&path, text.as_bytes()).map_err(|error| SweepError::Io { path, error })
        };
        write("results.csv", &found.to_csv())?;
        write("sweep.svg", &super::to_svg(&found.rows))?;
        match self.best() {
            Some(best) => write("best.toml", &best.to_toml()),
            None => Ok(()),
        }
    }
}

impl Found {
    /// One line a trial, the best configuration first. No test accuracy: nothing here was chosen by it.
    pub fn to_csv(&self) -> String {
        let keys: Vec<&str> = self.rows.first().map_or(Vec::new(), |r| r.trial.sets.iter().map(|s| &s.0[..]).collect());
        let quoted = |text: &str| match text.contains([',', '"', '\n']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text.to_string(),
        };
        let mut csv = String::from("trial,seed,status,epochs,val_accuracy,val_loss,train_loss,parameters,seconds");
        keys.iter().for_each(|k| csv.extend([",", &quoted(k)]));
        csv.push_str(",reason\n");
        for r in &self.rows {
            let m = r.last.as_ref();
            let number = |v: Option<f64>| v.map_or(String::new(), |v| format!("{v:.6}"));
            let epochs = m.map_or(0, |m| m.epoch);
            let mut cells =
                vec![r.trial.number.to_string(), r.trial.seed.to_string(), r.status.word().into(), epochs.to_string()];
            cells.extend([number(m.and_then(|m| m.val_accuracy)), number(m.and_then(|m| m.val_loss))]);
            cells.extend([number(m.map(|m| m.train_loss)), r.parameters.to_string(), format!("{:.2}", r.seconds)]);
            cells.extend(r.trial.sets.iter().map(|s| quoted(&s.1)));
            cells.push(if let Status::Failed(reason) = &r.status { quoted(reason) } else { String::new() });
            csv.push_str(&cells.join(","));
            csv.push('\n');
        }
        csv
    }
}
