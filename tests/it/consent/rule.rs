//! The rule, as short as it can be said.

/// What somebody said, and in which spell of their leave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Statement {
    pub(super) person: usize,
    consent_period: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct ConsentState {
    decision: Option<bool>,
    consent_period: u32,
}

/// Who may be heard: from a no, or from being forgotten, nothing said before may go anywhere.
#[derive(Debug, Default)]
pub(super) struct ConsentOracle {
    pub(super) default_consent: bool,
    people: [ConsentState; 3],
}

impl ConsentOracle {
    pub(super) fn is_permitted(&self, person: usize) -> bool {
        self.people[person].decision.unwrap_or(self.default_consent)
    }

    pub(super) fn speak(&self, person: usize) -> Option<Statement> {
        let spell = self.people[person].consent_period;
        self.is_permitted(person).then_some(Statement {
            person,
            consent_period: spell,
        })
    }

    pub(super) fn give_consent(&mut self, person: usize) {
        self.people[person].decision = Some(true);
    }

    pub(super) fn withdraw_consent(&mut self, person: usize) {
        self.people[person].decision = Some(false);
        self.people[person].consent_period += 1;
    }

    pub(super) fn forget(&mut self, person: usize) {
        self.people[person].decision = None;
        self.people[person].consent_period += 1;
    }

    pub(super) fn is_usable(&self, said: Statement) -> bool {
        self.is_permitted(said.person)
            && self.people[said.person].consent_period == said.consent_period
    }
}
