//! This process among those that `mpirun` started, where there are several; builds without MPI are always alone.

use super::cpu;
use crate::failure::Failure;
use lenet::data::Loaded;
use lenet::engine::{Engine, resolve_threads};
use lenet::spec::{Network, Recipe};
use lenet::sweep::Sweeper;

#[cfg(feature = "mpi")]
use lenet::engine::CHUNK;
#[cfg(feature = "mpi")]
use lenet::engine::CpuOptions;
#[cfg(feature = "mpi")]
use lenet::sweep::Team;
#[cfg(feature = "mpi")]
use lenet::train::Session;
#[cfg(feature = "mpi")]
use lenet_mpi::{Cluster, MpiEngine};

/// What MPI libraries tell a process: of how many it is one, and its number.
const TOLD: [[&str; 2]; 3] = [
    ["OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"],
    ["PMI_SIZE", "PMI_RANK"],
    ["MPI_LOCALNRANKS", "MPI_LOCALRANKID"],
];

/// Refuses to be one of several processes that were started together, since all would do, and write, the same.
pub fn check_alone(why: &str) -> Result<(), Failure> {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<usize>().ok());
    for [size, rank] in TOLD {
        match number(size).filter(|&n| n > 1) {
            Some(_) if number(rank).is_some_and(|rank| rank > 0) => return Err(Failure::ToldElsewhere),
            Some(n) => {
                return Err(Failure::Usage(format!("{n} processes were started together ({size}={n}), but {why}")));
            }
            None => {}
        }
    }
    Ok(())
}

/// The job that this process is part of.
pub struct Job {
    #[cfg(feature = "mpi")]
    cluster: Option<Cluster>,
    /// Threads of this process's engine.
    pub threads: usize,
}

#[cfg(not(feature = "mpi"))]
impl Job {
    /// Alone.
    pub fn join(threads: usize) -> Result<Self, Failure> {
        check_alone(
            "this lenet was built without MPI: build it with --features mpi (cargo build --release --package lenet-cli \
             --features mpi), or start it without mpirun",
        )?;
        Ok(Job { threads: resolve_threads(threads) })
    }

    pub fn is_first(&self) -> bool {
        true
    }

    pub fn serve(&self, _: impl FnOnce(&Recipe) -> Result<Loaded, Failure>) -> Result<(), Failure> {
        Ok(())
    }

    pub fn load(&self, load: impl FnOnce() -> Result<Loaded, Failure>) -> Result<Loaded, Failure> {
        load()
    }

    pub fn tell(&self, _: &Recipe) {}

    pub fn engine<'a>(&self, network: Network, _: &Recipe, _: &'a Loaded) -> Result<Box<dyn Engine + 'a>, Failure> {
        Ok(Box::new(cpu::engine(network, self.threads)?))
    }

    pub fn first_before_others<T>(&self, work: impl FnOnce() -> T) -> T {
        work()
    }

    pub fn share<'a>(&'a self, sweeper: Sweeper<'a>) -> Sweeper<'a> {
        sweeper
    }
}

#[cfg(not(feature = "mpi"))]
pub fn let_the_first_tell() {}

#[cfg(not(feature = "mpi"))]
pub fn leave() {}

#[cfg(not(feature = "mpi"))]
pub fn abort(_: u8) {}

#[cfg(feature = "mpi")]
impl Job {
    /// Joins the others if there are any. Processes that may run on the same cores share their threads unless it is said
    /// how many each has.
    pub fn join(threads: usize) -> Result<Self, Failure> {
        // A process on its own does without MPI, which takes its time to start.
        let started =
            TOLD.iter().map(|[size, _]| *size).chain(["PMIX_RANK"]).any(|name| std::env::var_os(name).is_some());
        let Some(cluster) = started.then(Cluster::join).flatten() else {
            return Ok(Job { cluster: None, threads: resolve_threads(threads) });
        };
        let beside = cluster.ranks_beside(&cores());
        let job = Job {
            cluster: Some(cluster),
            threads: if threads == 0 { (resolve_threads(0) / beside).max(1) } else { threads },
        };
        // What Open MPI does unless it is told otherwise: one core a process.
        if threads == 0
            && resolve_threads(0) == 1
            && std::env::var_os("OMPI_MCA_orte_bound_at_launch").is_some()
            && job.is_first()
        {
            eprintln!(
                "note     mpirun keeps each process to one core; mpirun --bind-to none lets it have more threads"
            );
        }
        Ok(job)
    }

    /// Whether this is the process that writes.
    pub fn is_first(&self) -> bool {
        self.cluster.is_none_or(|c| c.rank() == 0)
    }

    /// What all processes but the first do in a training, on the dataset that `load` gives for the recipe they are told.
    pub fn serve(&self, load: impl FnOnce(&Recipe) -> Result<Loaded, Failure>) -> Result<(), Failure> {
        let Some(cluster) = self.cluster else { return Ok(()) };
        let Some(text) = cluster.hear() else { return Ok(()) };
        let recipe = Recipe::parse(&text, "the recipe of rank 0")?;
        let loaded = self.load(|| load(&recipe))?;
        let session = Session::new(&recipe, &loaded)?;
        self.ranks_engine(cluster, session.network().clone(), session.recipe(), &loaded)?.serve();
        Ok(())
    }

    /// Tells the others what will be trained.
    pub fn tell(&self, recipe: &Recipe) {
        self.cluster.iter().for_each(|c| c.tell(&recipe.to_toml()));
    }

    /// The data that `load` reads, read once a machine.
    pub fn load(&self, load: impl FnOnce() -> Result<Loaded, Failure>) -> Result<Loaded, Failure> {
        match self.cluster {
            Some(cluster) => cluster.load(load, Failure::Failed),
            None => load(),
        }
    }

    pub fn engine<'a>(
        &self,
        network: Network,
        recipe: &Recipe,
        data: &'a Loaded,
    ) -> Result<Box<dyn Engine + 'a>, Failure> {
        let chunks = recipe.train.batch.div_ceil(CHUNK);
        if let Some(ranks) = self.cluster.map(Cluster::ranks).filter(|&ranks| ranks > chunks) {
            let batch = recipe.train.batch;
            eprintln!(
                "note     a batch of {batch} is {chunks} chunks of {CHUNK}: {} of {ranks} processes have none",
                ranks - chunks
            );
        }
        match self.cluster {
            Some(cluster) => Ok(Box::new(self.ranks_engine(cluster, network, recipe, data)?)),
            None => Ok(Box::new(cpu::engine(network, self.threads)?)),
        }
    }

    fn ranks_engine<'a>(
        &self,
        cluster: Cluster,
        network: Network,
        recipe: &Recipe,
        data: &'a Loaded,
    ) -> Result<MpiEngine<'a>, Failure> {
        let options = CpuOptions { threads: self.threads, path: None };
        MpiEngine::new(cluster, network, options, [&data.train, &data.test], &recipe.augment)
            .map_err(|e| Failure::Usage(e.to_string()))
    }

    /// Does in all processes what leaves files that the first one must have made.
    pub fn first_before_others<T>(&self, work: impl FnOnce() -> T) -> T {
        let wait = || drop(self.cluster.map(|c| c.exchange("")));
        if !self.is_first() {
            wait();
        }
        let done = work();
        if self.is_first() {
            wait();
        }
        done
    }

    /// Spreads a sweep's trials over the processes.
    pub fn share<'a>(&'a self, sweeper: Sweeper<'a>) -> Sweeper<'a> {
        match &self.cluster {
            Some(cluster) => sweeper.with_team(cluster, self.threads),
            None => sweeper,
        }
    }
}

/// The cores that this process may run on, as the system writes them.
#[cfg(feature = "mpi")]
fn cores() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|l| l.starts_with("Cpus_allowed_list:")).unwrap_or_default().into()
}

/// Lets the first process say what is wrong, if it is wrong there too: it ends the others when it has.
#[cfg(feature = "mpi")]
pub fn let_the_first_tell() {
    if Cluster::joined().is_some_and(|c| c.rank() > 0) {
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

/// The end of work that went well.
#[cfg(feature = "mpi")]
pub fn leave() {
    Cluster::joined().into_iter().for_each(Cluster::leave);
}

/// The end of work that did not: the other processes end as well.
#[cfg(feature = "mpi")]
pub fn abort(code: u8) {
    if let Some(cluster) = Cluster::joined() {
        cluster.abort(code);
    }
}
