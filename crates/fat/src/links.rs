//! Which clusters other clusters lead to: a cluster that belongs to two chains must not be freed or written for one of them.

use crate::boot_sector::corrupt;
use disksmith_vfs::Result;
use std::collections::HashSet;

/// So many clusters with several predecessors are remembered; a table with more is too damaged to be changed.
const MAX_SHARED: usize = 4096;

/// What the table says of predecessors, kept up with its changes.
#[derive(Debug)]
pub(crate) struct Links {
    /// A bit a cluster: whether another leads to it.
    led_to: Vec<u64>,
    /// Clusters to which several lead.
    shared: HashSet<u32>,
    /// What the operation that runs has changed: where something led, and where it leads now.
    changes: Vec<(Option<u32>, Option<u32>)>,
}

impl Links {
    /// Nothing leads to any of so many clusters.
    pub(crate) fn new(clusters: u32) -> Self {
        Self {
            led_to: vec![0; (clusters as usize + 2).div_ceil(64)],
            shared: HashSet::new(),
            changes: Vec::new(),
        }
    }

    /// Notes that a cluster leads to another one.
    pub(crate) fn add(&mut self, to: u32) {
        let Some(word) = self.led_to.get_mut(to as usize / 64) else {
            return;
        };
        let bit = 1 << (to % 64);
        if *word & bit != 0 && self.shared.len() <= MAX_SHARED {
            self.shared.insert(to);
        }
        *word |= bit;
    }

    /// Notes that a cluster leads to another one no more. One that was shared stays so: nobody knows whose it is.
    fn remove(&mut self, to: u32) {
        if self.shared.contains(&to) {
            return;
        }
        if let Some(word) = self.led_to.get_mut(to as usize / 64) {
            *word &= !(1 << (to % 64));
        }
    }

    /// Notes that a cluster leads elsewhere.
    pub(crate) fn change(&mut self, from: Option<u32>, to: Option<u32>) {
        self.replace(from, to);
        self.changes.push((from, to));
    }

    fn replace(&mut self, from: Option<u32>, to: Option<u32>) {
        from.into_iter().for_each(|from| self.remove(from));
        to.into_iter().for_each(|to| self.add(to));
    }

    /// The changes so far stay.
    pub(crate) fn keep(&mut self) {
        self.changes.clear();
    }

    /// Takes back the changes that nobody kept.
    pub(crate) fn take_back(&mut self) {
        while let Some((from, to)) = self.changes.pop() {
            self.replace(to, from);
        }
    }

    /// Whether another cluster leads to this one.
    pub(crate) fn is_led_to(&self, cluster: u32) -> bool {
        self.led_to
            .get(cluster as usize / 64)
            .is_some_and(|word| word & (1 << (cluster % 64)) != 0)
    }

    /// Refuses a chain of which a part belongs to another one too.
    ///
    /// # Errors
    /// [`disksmith_vfs::Error::Corrupt`], naming the cluster.
    pub(crate) fn check_alone(&self, first: u32, mut clusters: impl Iterator<Item = u32>) -> Result<()> {
        let shared = |cluster: u32| {
            Err(corrupt(format!(
                "cluster {cluster} belongs to the chain of cluster {first} and to another one; neither can be changed"
            )))
        };
        if self.shared.len() > MAX_SHARED {
            return Err(corrupt("thousands of clusters belong to several chains".into()));
        }
        if self.is_led_to(first) {
            return shared(first);
        }
        if self.shared.is_empty() {
            return Ok(());
        }
        clusters
            .find(|cluster| self.shared.contains(cluster))
            .map_or(Ok(()), shared)
    }
}
