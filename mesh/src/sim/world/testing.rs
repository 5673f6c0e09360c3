//! What only tests do to a world: the switches that show that the oracle notices.

use super::World;

impl World {
    /// Switches repair off: what gossip loses stays lost.
    pub fn switch_offers_off(&mut self) {
        self.offers_off = true;
        let nodes = self.nodes.iter_mut();
        nodes.for_each(|node| node.core.switch_offers_off());
    }

    /// Lets gossip take each copy of a message for a new one.
    pub fn switch_deduplication_off(&mut self) {
        self.gossip.deduplicates = false;
    }

    /// Lets stores take in changes without those that they build on.
    pub fn switch_dependencies_off(&mut self) {
        let replicas = self.nodes.iter().map(|node| &node.replica);
        replicas.for_each(|replica| replica.take_in_without_dependencies());
    }

    /// Runs until a peer holds so many documents, within a minute.
    pub fn run_until_holds(&mut self, node: usize, documents: usize) {
        let end = self.now + 60_000;
        while self.nodes[node].replica.contents().len() < documents {
            assert!(self.now < end, "{}", self.describe());
            self.run_until(self.now + 1);
        }
    }
}
