//! What goes wrong in a world, until it calms down.

use geodynamo_replicator_core::{Clock, Millis, Stamp};

use crate::{
    collect::Standings,
    event::Event,
    world::{JOINER, World},
};

/// How far ahead a clock must run so that its stamps are parked, in milliseconds, and how far it runs at most.
const AHEAD_MS: (Millis, Millis) = (6_000, 20_000);

impl World {
    /// One thing goes wrong, and the next is planned.
    pub(crate) fn fault(&mut self) {
        if self.is_calm {
            return;
        }
        let region = self.rng.index(self.members);
        let other = (region + 1 + self.rng.index(self.members - 1)) % self.members;
        match self.rng.below(100) {
            0..30 => self.lose_connection(region, other),
            30..50 => self.cut(region, other),
            50..64 => self.crash(region),
            64..76 => self.step_back(region),
            76..84 => self.run_ahead(region),
            84..92 => self.replicas[region].drift_ppm = self.rng.between(0, 4_000) as i64 - 2_000,
            _ if self.copy.is_some() => self.break_copy("the stream was lost"),
            _ => {}
        }
        let wait = self.rng.between(50, 500);
        self.plan_in(wait, Event::Fault);
    }

    fn lose_connection(&mut self, from: usize, to: usize) {
        if let Some(id) = self.links.get(&(from, to)).copied() {
            self.disconnect(id, "fault");
        }
    }

    fn cut(&mut self, a: usize, b: usize) {
        let pair = (a.min(b), a.max(b));
        if !self.cuts.insert(pair) {
            return;
        }
        self.totals.cuts += 1;
        self.trace
            .line(self.now, || format!("regions {a} and {b} are cut off from each other"));
        // Most cuts are short; some outlast the links' patience.
        let length = if self.rng.permille(200) {
            self.rng.between(8_000, 15_000)
        } else {
            self.rng.between(50, 3_000)
        };
        self.plan_in(length, Event::Heal(pair.0, pair.1));
        if self.copy.is_some() && self.is_copying(a) && self.is_copying(b) {
            self.break_copy("cut");
        }
    }

    pub(crate) fn heal(&mut self, a: usize, b: usize) {
        if self.cuts.remove(&(a, b)) {
            self.totals.heals += 1;
            self.trace
                .line(self.now, || format!("the cut between regions {a} and {b} heals"));
            self.resume_deliveries(a, b);
        }
    }

    fn crash(&mut self, region: usize) {
        if !self.replicas[region].is_up {
            return;
        }
        self.totals.crashes += 1;
        let pending = self.replicas[region].store.pending() as u64;
        // What was being written when it died may have reached the disk, from the front.
        let kept = self.rng.between(0, pending) as usize;
        let replica = &mut self.replicas[region];
        let (commits, dropped) = replica.store.crash(kept);
        replica.is_up = false;
        replica.epoch += 1;
        (replica.sync_planned, replica.release_planned, replica.ceiling_pending) = (false, false, false);
        self.totals.dropped_commits += dropped as u64;
        self.trace
            .line(self.now, || format!("region {region} crashes, {dropped} commits lost"));
        for commit in &commits {
            self.tell_oracle(region, commit);
        }
        self.oracle.crashed(region);
        let links: Vec<_> = self
            .links
            .iter()
            .filter(|((a, b), _)| *a == region || *b == region)
            .map(|(_, id)| *id)
            .collect();
        for id in links {
            self.disconnect(id, "crash");
        }
        if self.is_copying(region) {
            self.break_copy("crash");
        }
        self.check_cursors(region);
        let wait = self.rng.between(50, 2_000);
        self.plan_in(wait, Event::Restart(region));
    }

    pub(crate) fn restart(&mut self, region: usize) {
        let replica = &mut self.replicas[region];
        if replica.is_up {
            return;
        }
        replica.is_up = true;
        replica.clock = Clock::new(replica.id, replica.store.durable.ceiling);
        // What it has agreed to forget, it has seen.
        replica
            .clock
            .observe(Stamp::new(replica.store.durable.kept.agreed, replica.id));
        replica.standings = Standings::default();
        self.trace.line(self.now, || format!("region {region} restarts"));
        self.plan_release(region);
    }

    fn step_back(&mut self, region: usize) {
        let by = self.rng.between(1, 3_000) as i64;
        self.totals.clocks_back += 1;
        self.trace
            .line(self.now, || format!("the clock of region {region} steps back by {by}"));
        self.replicas[region].offset -= by;
    }

    fn run_ahead(&mut self, region: usize) {
        if self.replicas[region].offset > 3_000 {
            return;
        }
        let by = self.rng.between(AHEAD_MS.0, AHEAD_MS.1) as i64;
        self.totals.clocks_ahead += 1;
        self.trace
            .line(self.now, || format!("the clock of region {region} runs ahead by {by}"));
        self.replicas[region].offset += by;
        let wait = self.rng.between(500, 3_000);
        self.plan_in(wait, Event::SetClock { region, offset: 0 });
    }

    /// All faults end: cuts heal, clocks are right, processes run.
    pub(crate) fn calm(&mut self) {
        self.is_calm = true;
        self.trace.line(self.now, || "the faults end".into());
        for (a, b) in self.cuts.clone() {
            self.heal(a, b);
        }
        for region in 0..self.members {
            self.restart(region);
            self.replicas[region].offset = 0;
            self.replicas[region].drift_ppm = 0;
        }
        if self.members > JOINER {
            self.plan_in(1, Event::StartCopy);
        }
        self.plan_in(1_000, Event::Check);
    }
}
