//! Running a sweep's trials, and ranking them.

use super::error::SweepError;
use super::layout::{BEST, PICTURE, RESULTS, SWEEP, TRIALS};
use super::picture::to_svg;
use super::plan::{Sweep, Trial};
use super::row::{Found, Row, Status};
use super::team::{Team, Told};
use crate::data::Loaded;
use crate::engine::resolve_threads;
use crate::fs::write_atomic;
use crate::spec::{Recipe, RecipeError};
use crate::train::{Control, EpochMetrics, Event, Outcome, Run, Session, TrainError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What a sweep tells on its way.
#[derive(Clone, Debug)]
#[non_exhaustive]
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

/// A sweep in its directory.
pub struct Sweeper<'a> {
    sweep: &'a Sweep,
    data: &'a Loaded,
    dir: PathBuf,
    /// Those of the trials; none for one that has failed before it began.
    recipes: Vec<Option<Recipe>>,
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
        dir: impl AsRef<Path>,
        parallel: usize,
    ) -> Result<Self, SweepError> {
        let dir = dir.as_ref();
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |error| SweepError::Io { path, error }
        };
        let trials = sweep.trials();
        let fits = |recipe: Recipe| -> Result<(Recipe, usize), RecipeError> {
            let network = recipe.spec(data.train.shape, data.train.classes.len())?.infer()?;
            Ok((recipe, network.learnt()))
        };
        let mut recipes: Vec<_> = trials.iter().map(|t| sweep.recipe(t).and_then(fits)).collect();
        if recipes.iter().all(Result::is_err)
            && let Some(Err(first)) = recipes.drain(..).next()
        {
            return Err(SweepError::AllInvalid(Box::new(first)));
        }
        let file = dir.join(SWEEP);
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
                Err(reason) => Status::Failed(reason.to_string()),
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
            recipes: recipes.into_iter().map(|r| r.ok().map(|r| r.0)).collect(),
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
        self.dir.join(TRIALS).join(format!("{number:04}"))
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
        let Some(recipe) = &self.recipes[i] else { return Some(row.clone()) };
        let goal = epochs.min(recipe.train.epochs);
        match self.train(i, recipe, goal, stop, tell) {
            Ok(None) => None,
            Ok(Some(mut metrics)) => {
                // A sweep that goes on finds runs that are past this rung: what counts is how they stood at it.
                metrics.truncate(goal);
                let status = if goal == recipe.train.epochs { Status::Done } else { Status::Open };
                let seconds = metrics.iter().map(|m| m.train_seconds + m.eval_seconds).sum();
                Some(Row { status, last: metrics.last().cloned(), seconds, ..row.clone() })
            }
            Err(error) => Some(Row { status: Status::Failed(error.to_string()), ..row.clone() }),
        }
    }

    fn train(
        &self,
        i: usize,
        recipe: &Recipe,
        goal: usize,
        stop: &(dyn Fn() -> bool + Sync),
        tell: &dyn Fn(&Progress),
    ) -> Result<Option<Vec<EpochMetrics>>, TrainError> {
        let session = Session::new(recipe, self.data)?.name(&self.sweep.recipe).threads(self.threads);
        let session = session.note("sweep", self.sweep.recipe.as_str()).note("trial", i);
        let dir = self.trial_dir(i);
        let session = if Run::is_at(&dir) { session.resume(Run::open(&dir)?) } else { session.run_dir(&dir) };
        let mut trainer = session.open()?.ranked();
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
        match outcome? {
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
        let mut recipe = self.recipes.get(number)?.as_ref()?.clone();
        recipe.train.val_fraction = 0.0;
        recipe.train.patience = None;
        Some(recipe)
    }

    fn write(&self, found: &Found) -> Result<(), SweepError> {
        let write = |name: &str, text: &str| {
            let path = self.dir.join(name);
            write_atomic(&path, text.as_bytes()).map_err(|error| SweepError::Io { path, error })
        };
        write(RESULTS, &found.to_csv())?;
        write(PICTURE, &to_svg(&found.rows))?;
        match self.best() {
            Some(best) => write(BEST, &best.to_toml()),
            None => Ok(()),
        }
    }
}
