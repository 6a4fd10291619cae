//! The processes that `mpirun` started together.

use crate::message::{Kind, Message};
use lenet::data::{Dataset, Loaded};
use lenet::engine::Ranks;
use lenet::sweep::Team;
use mpi::Threading;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::topology::{Color, SimpleCommunicator};
use mpi::traits::*;
use std::cell::{Cell, RefCell};

thread_local! {
    /// MPI, from [`Cluster::join`] to [`Cluster::leave`], on the thread that all calls come from.
    static UNIVERSE: RefCell<Option<Universe>> = const { RefCell::new(None) };
    /// Whether rank 0 has said that there is nothing more to do.
    static STOPPED: Cell<bool> = const { Cell::new(false) };
}

/// The ranks of this job, seen from one of them. All calls come from the thread that joined.
#[derive(Clone, Copy, Debug)]
pub struct Cluster(());

impl Cluster {
    /// The job that this process is part of; `None` if MPI is over already. A process that was started alone becomes a
    /// job of one.
    pub fn join() -> Option<Cluster> {
        if let Some(cluster) = Cluster::joined() {
            return Some(cluster);
        }
        let (universe, _) = mpi::initialize_with_threading(Threading::Funneled)?;
        UNIVERSE.set(Some(universe));
        // A rank that panics would leave the others waiting.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            hook(info);
            if UNIVERSE.with(|u| u.try_borrow().is_ok_and(|u| u.is_some())) {
                SimpleCommunicator::world().abort(101);
            }
        }));
        Some(Cluster(()))
    }

    /// The job, if this process has joined one and not left it.
    pub fn joined() -> Option<Cluster> {
        UNIVERSE.with_borrow(|u| u.is_some()).then_some(Cluster(()))
    }

    /// The number of this process, from 0.
    pub fn rank(self) -> usize {
        SimpleCommunicator::world().rank() as usize
    }

    /// Number of processes.
    pub fn ranks(self) -> usize {
        SimpleCommunicator::world().size() as usize
    }

    /// Number of processes that may use what `share` names: of those on this machine, all that name the same. All ranks
    /// call it.
    pub fn ranks_beside(self, share: &str) -> usize {
        beside(share).map_or(1, |beside| beside.size() as usize)
    }

    /// From rank 0 to all, which [`Cluster::hear`] it.
    pub fn tell(self, text: &str) {
        Message::new(Kind::Text).bytes(text.as_bytes()).send();
    }

    /// What rank 0 tells; `None` if it has nothing to do.
    pub fn hear(self) -> Option<String> {
        let mut message = Message::receive();
        match message.kind {
            Kind::Text => Some(String::from_utf8_lossy(&message.next_bytes()).into_owned()),
            _ => {
                STOPPED.set(true);
                None
            }
        }
    }

    /// Data that one process of each machine loads, and gives to the others there. All ranks call it.
    ///
    /// # Errors
    /// What loading says, or, through `differs`, that rank 0's machine has other data.
    pub fn load<E>(
        self,
        load: impl FnOnce() -> Result<Loaded, E>,
        differs: impl FnOnce(String) -> E,
    ) -> Result<Loaded, E> {
        let world = SimpleCommunicator::world();
        let here = beside("");
        let mut loaded = match here.as_ref().map_or(0, |here| here.rank()) {
            0 => load()?,
            _ => nothing(),
        };
        if let Some(here) = &here {
            let leader = here.process_at_rank(0);
            share_dataset(&leader, &mut loaded.train);
            share_dataset(&leader, &mut loaded.test);
        }
        let own = [checksum(&loaded.train), checksum(&loaded.test)];
        let mut all = vec![0u64; 2 * self.ranks()];
        world.all_gather_into(&own, &mut all[..]);
        match all.as_chunks::<2>().0.iter().position(|c| *c != all[..2]) {
            None => Ok(loaded),
            Some(rank) => {
                Err(differs(format!("rank {rank} has other data than rank 0: give all machines the same files")))
            }
        }
    }

    /// The end of a process's work that went well. Rank 0 tells the others, which wait for it.
    pub fn leave(self) {
        match self.rank() {
            0 => Message::new(Kind::Stop).send(),
            _ => {
                while !STOPPED.get() {
                    STOPPED.set(Message::receive().kind == Kind::Stop);
                }
            }
        }
        UNIVERSE.take();
    }

    /// Ends all processes of the job at once, with this exit code.
    pub fn abort(self, code: u8) -> ! {
        SimpleCommunicator::world().abort(i32::from(code))
    }

    fn gather<T: Equivalence>(own: &[T], counts: &[usize], all: &mut [T]) {
        let counts: Vec<i32> = counts.iter().map(|&n| n as i32).collect();
        let places = counts.iter().scan(0, |at, n| {
            *at += n;
            Some(*at - n)
        });
        let places: Vec<i32> = places.collect();
        let mut parts = PartitionMut::new(all, counts, places);
        SimpleCommunicator::world().all_gather_varcount_into(own, &mut parts);
    }
}

impl Ranks for Cluster {
    fn rank(&self) -> usize {
        Cluster::rank(*self)
    }

    fn ranks(&self) -> usize {
        Cluster::ranks(*self)
    }

    fn gather(&self, own: &[f32], counts: &[usize], all: &mut [f32]) {
        Cluster::gather(own, counts, all);
    }
}

impl Team for Cluster {
    fn rank(&self) -> usize {
        Cluster::rank(*self)
    }

    fn ranks(&self) -> usize {
        Cluster::ranks(*self)
    }

    fn exchange(&self, own: &str) -> Vec<String> {
        // Never empty: the address of no bytes may be what MPI has another meaning for.
        let own = format!("{own}\n");
        let mut lens = vec![0u64; Cluster::ranks(*self)];
        SimpleCommunicator::world().all_gather_into(&(own.len() as u64), &mut lens[..]);
        let lens: Vec<usize> = lens.into_iter().map(|n| n as usize).collect();
        let mut all = vec![0u8; lens.iter().sum()];
        Cluster::gather(own.as_bytes(), &lens, &mut all);
        let mut rest = &all[..];
        let mut text =
            |n: usize| String::from_utf8_lossy(rest.split_off(..n).unwrap_or_default()).trim_end().to_string();
        lens.into_iter().map(&mut text).collect()
    }
}

/// The ranks of this machine that name the same share of it. The machine goes by its name: all agree on that, whatever the
/// library makes of networks and containers.
fn beside(share: &str) -> Option<SimpleCommunicator> {
    let world = SimpleCommunicator::world();
    let name = mpi::environment::processor_name().unwrap_or_default();
    let own = fnv(name.bytes().chain([b'\n']).chain(share.bytes()).map(u64::from));
    let mut all = vec![0u64; world.size() as usize];
    world.all_gather_into(&own, &mut all[..]);
    let first = all.iter().position(|&name| name == own).unwrap_or(0);
    world.split_by_color(Color::with_value(first as i32))
}

fn nothing() -> Loaded {
    let none = || Dataset { shape: [0; 3], images: Vec::new(), labels: Vec::new(), classes: Vec::new() };
    let empty = String::new;
    Loaded {
        train: none(),
        test: none(),
        name: empty(),
        provenance: empty(),
        checksums: Vec::new(),
        notes: Vec::new(),
        skipped: Vec::new(),
    }
}

/// Values of any number, from one process of a communicator to all.
fn share<T: Equivalence + Clone + Default>(leader: &impl Root, values: &mut Vec<T>) {
    let mut len = values.len() as u64;
    leader.broadcast_into(&mut len);
    values.resize(len as usize, T::default());
    // MPI counts in 31 bits.
    values.chunks_mut(1 << 30).for_each(|part| leader.broadcast_into(part));
}

fn share_dataset(leader: &impl Root, data: &mut Dataset) {
    let mut shape = data.shape.map(|n| n as u64);
    leader.broadcast_into(&mut shape[..]);
    data.shape = shape.map(|n| n as usize);
    share(leader, &mut data.images);
    share(leader, &mut data.labels);
    let mut classes = data.classes.join("\n").into_bytes();
    share(leader, &mut classes);
    data.classes = String::from_utf8_lossy(&classes).lines().map(str::to_string).collect();
}

/// What tells datasets apart: all that a training reads.
fn checksum(data: &Dataset) -> u64 {
    let words = data.images.chunks(8).map(|b| b.iter().fold(0, |w, &b| w << 8 | u64::from(b)));
    fnv(words.chain(data.labels.iter().map(|&l| u64::from(l))).chain(data.shape.map(|n| n as u64)))
}

/// FNV-1a over words.
fn fnv(words: impl Iterator<Item = u64>) -> u64 {
    words.fold(0xcbf2_9ce4_8422_2325, |sum, w| (sum ^ w).wrapping_mul(0x0100_0000_01b3))
}
