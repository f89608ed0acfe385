//! Members of the call: presence, consent, and hearing checks.

use tokio::sync::oneshot;

use super::{HearingCheckResult, MAX_PARTICIPANTS, Participant, SessionActor};

impl SessionActor {
    pub(super) fn on_joined(&mut self, person: u64, name: String) {
        if self.participants.len() < MAX_PARTICIPANTS || self.participants.contains_key(&person) {
            self.participants.insert(
                person,
                Participant {
                    name,
                    is_present: true,
                },
            );
        }
        self.update_allowed(person);
    }

    pub(super) fn on_left(&mut self, person: u64) {
        if let Some(member) = self.participants.get_mut(&person) {
            member.is_present = false;
        }
        self.audio_input.finish_speaker(person);
        if let Some(live) = &mut self.live_streams {
            live.close_when_done(person);
        }
        // Frees the member's slot, so that another one can be heard.
        self.audio_input.set_allowed(person, false);
        for other in self.participants.keys() {
            self.update_allowed(*other);
        }
    }

    /// Drops the data of withdrawn grants. [`GuildConsents`](crate::flow::consent::GuildConsents)
    /// has the change already.
    pub(super) async fn on_consent_changed(&mut self, person: u64) {
        for member in self.participants.keys() {
            self.update_allowed(*member);
        }
        self.pending_losses.remove(&person);
        self.recent_lines.retain(|line| line.grant().is_active());
        if let Some(uploads) = &mut self.uploads {
            uploads.close_withdrawn();
        }
        if let Some(live) = &mut self.live_streams {
            for pending in live.close_withdrawn() {
                self.reorder_buffer.complete(pending.ticket, None);
            }
        }
        self.commit_ready_lines().await;
    }

    /// Tells the audio worker whether this user may be heard: present and allowed.
    pub(super) fn update_allowed(&self, person: u64) {
        let is_present = self
            .participants
            .get(&person)
            .is_some_and(|it| it.is_present);
        self.audio_input
            .set_allowed(person, is_present && self.may_hear(person));
    }

    pub(super) fn may_hear(&self, person: u64) -> bool {
        self.consents.is_allowed(person)
    }

    pub(super) fn display_name(&self, person: u64) -> String {
        let known = self.participants.get(&person);
        known.map_or_else(String::new, |it| it.name.clone())
    }

    pub(super) fn present_count(&self) -> usize {
        self.participants
            .values()
            .filter(|member| member.is_present)
            .count()
    }

    pub(super) fn start_hearing_check(
        &mut self,
        person: u64,
        reply: oneshot::Sender<HearingCheckResult>,
    ) {
        let is_present = self
            .participants
            .get(&person)
            .is_some_and(|it| it.is_present);
        let refusal = if !is_present {
            Some(HearingCheckResult::NotInCall)
        } else if !self.may_hear(person) {
            Some(HearingCheckResult::NoConsent)
        } else {
            None
        };
        match refusal {
            Some(refusal) => {
                let _ = reply.send(refusal);
            }
            None if self.hearing_checks.len() < MAX_PARTICIPANTS => {
                self.hearing_checks
                    .insert(person, (reply, self.clock.elapsed()));
            }
            None => {}
        }
    }

    pub(super) fn answer_hearing_check(&mut self, person: u64, result: HearingCheckResult) {
        if let Some((reply, _)) = self.hearing_checks.remove(&person) {
            let _ = reply.send(result);
        }
    }
}
