//! Who is in the call, what they have decided, and whether they are heard.

use tokio::sync::oneshot;

use super::{Call, Checked, MAX_PEOPLE, Person};

impl Call {
    pub(super) fn joined(&mut self, person: u64, name: String) {
        if self.people.len() < MAX_PEOPLE || self.people.contains_key(&person) {
            let present = true;
            self.people.insert(person, Person { name, present });
        }
        self.allow(person);
    }

    pub(super) fn left(&mut self, person: u64) {
        if let Some(known) = self.people.get_mut(&person) {
            known.present = false;
        }
        self.microphone.over(person);
        if let Some(live) = &mut self.live {
            live.retire(person);
        }
        // Whoever is gone takes nobody's place among those who can be heard.
        self.microphone.allow(person, false);
        for other in self.people.keys() {
            self.allow(*other);
        }
    }

    /// Somebody has decided something, and the book knows it already: clears away what nobody can
    /// open any more.
    pub(super) async fn has_decided(&mut self, person: u64) {
        for known in self.people.keys() {
            self.allow(*known);
        }
        self.lost.remove(&person);
        self.recent.retain(|said| said.stamp().holds());
        if let Some(uploads) = &mut self.uploads {
            uploads.close_withdrawn();
        }
        if let Some(live) = &mut self.live {
            for awaited in live.close_withdrawn() {
                self.order.done(awaited.ticket, None);
            }
        }
        self.commit().await;
    }

    /// Hears somebody who is there, or no more, as they and the server have decided.
    pub(super) fn allow(&self, person: u64) {
        let there = self.people.get(&person).is_some_and(|it| it.present);
        self.microphone
            .allow(person, there && self.may_hear(person));
    }

    pub(super) fn may_hear(&self, person: u64) -> bool {
        self.book.may(person)
    }

    pub(super) fn name(&self, person: u64) -> String {
        let known = self.people.get(&person);
        known.map_or_else(String::new, |it| it.name.clone())
    }

    pub(super) fn present(&self) -> usize {
        self.people.values().filter(|person| person.present).count()
    }

    pub(super) fn check(&mut self, person: u64, reply: oneshot::Sender<Checked>) {
        let there = self.people.get(&person).is_some_and(|it| it.present);
        let refused = if !there {
            Some(Checked::NotThere)
        } else if !self.may_hear(person) {
            Some(Checked::NotAgreed)
        } else {
            None
        };
        match refused {
            Some(refused) => {
                let _ = reply.send(refused);
            }
            None if self.checks.len() < MAX_PEOPLE => {
                self.checks.insert(person, (reply, self.clock.now()));
            }
            None => {}
        }
    }

    pub(super) fn answer_check(&mut self, person: u64, checked: Checked) {
        if let Some((reply, _)) = self.checks.remove(&person) {
            let _ = reply.send(checked);
        }
    }
}
