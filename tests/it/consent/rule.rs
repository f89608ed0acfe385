//! The rule, as short as it can be said.

/// What somebody said, and in which spell of their leave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) person: usize,
    spell: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Person {
    decided: Option<bool>,
    spell: u32,
}

/// Who may be heard: from a no, or from being forgotten, nothing said before may go anywhere.
#[derive(Debug, Default)]
pub(super) struct Rule {
    pub(super) everybody: bool,
    people: [Person; 3],
}

impl Rule {
    pub(super) fn may(&self, person: usize) -> bool {
        self.people[person].decided.unwrap_or(self.everybody)
    }

    pub(super) fn says(&self, person: usize) -> Option<Said> {
        let spell = self.people[person].spell;
        self.may(person).then_some(Said { person, spell })
    }

    pub(super) fn yes(&mut self, person: usize) {
        self.people[person].decided = Some(true);
    }

    pub(super) fn no(&mut self, person: usize) {
        self.people[person].decided = Some(false);
        self.people[person].spell += 1;
    }

    pub(super) fn forgets(&mut self, person: usize) {
        self.people[person].decided = None;
        self.people[person].spell += 1;
    }

    pub(super) fn allows(&self, said: Said) -> bool {
        self.may(said.person) && self.people[said.person].spell == said.spell
    }
}
