//! Context for the recognizer.

use super::{SessionActor, log_store_error};
use crate::flow::consent::PersonalData;
use crate::flow::guild_settings::GuildSettings;
use crate::flow::session::recognition_context::RecognitionContext;
use crate::flow::session::transcript_history;

impl SessionActor {
    /// Context for the recognizer: names, terms, and previous lines.
    pub(super) async fn recognition_context(&self) -> RecognitionContext {
        let runner = self.scheduler.runner();
        let mut hints = runner.pipeline.hints.clone();
        let guild = Some(self.session.details.guild);
        let settings = GuildSettings::load(&runner.store, guild).await;
        let settings = settings.unwrap_or_default();
        for languages in [&settings.languages, &self.setup.languages] {
            if !languages.is_empty() {
                hints.languages.clone_from(languages);
            }
        }
        let present = self
            .participants
            .iter()
            .filter(|(_, member)| member.is_present);
        let names = present
            .filter_map(|(id, member)| {
                Some(self.consents.current_grant(*id)?.wrap(member.name.clone()))
            })
            .collect();
        let mut terms: Vec<String> = settings.key_terms;
        terms.push(self.bot_name.clone());
        RecognitionContext {
            hints,
            terms,
            speaker_names: names,
            previous_lines: self.recent_lines.clone(),
            last_answer: self.last_answer().await,
        }
    }

    /// The assistant's last answer in this session, with its message id.
    pub(super) async fn last_answer(&self) -> Option<(u64, PersonalData<String>)> {
        let runner = self.scheduler.runner();
        let (consents, store) = (&runner.consents, &runner.store);
        let answer = transcript_history::last_answer(consents, store, &self.session).await;
        answer.unwrap_or_else(|error| {
            log_store_error("can't read the last answer", &error);
            None
        })
    }
}
