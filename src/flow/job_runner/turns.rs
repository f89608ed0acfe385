//! Conversation turns of a job: those sent to the model, and those saved for later replies.

use super::JobRunner;
use crate::flow::consent::{ConsentGrants, PersonalData};
use crate::flow::conversation_history::{self, ConversationRef, HistoryLimits, UserMessage};
use crate::flow::frontend::JobOutcome;
use crate::flow::job_spec::{JobSpec, RecordingTranscript, ReplyTarget};
use crate::flow::{AnswerText, user_turn};
use crate::store::{self, Job, StoreError, TurnRole};

impl JobRunner {
    /// The turns to send to the model, and the consent of the people whose earlier turns are among
    /// them.
    pub(super) async fn build_model_turns(
        &self,
        job: &Job,
        spec: &JobSpec,
        transcripts: &[RecordingTranscript],
    ) -> Result<(Vec<crate::chat::ChatTurn>, ConsentGrants), StoreError> {
        let limits = match spec.conversation {
            ConversationRef::Call { .. } => HistoryLimits::for_voice_session(),
            _ => HistoryLimits::default(),
        };
        let consents = &self.consents;
        let mut past =
            conversation_history::load_history(consents, &self.store, spec.conversation, limits)
                .await?;
        if let (ConversationRef::RepliesTo(message), true) = (spec.conversation, past.is_empty()) {
            let earlier = self.frontend.fetch_earlier_turns(job, message).await;
            past = conversation_history::with_consent(consents, earlier);
        }
        let grants = past.iter().map(|turn| turn.grant().clone()).collect();
        let past = past
            .into_iter()
            .filter_map(PersonalData::into_inner)
            .collect();
        let messages = user_messages(job.details.author, spec, transcripts);
        Ok((
            conversation_history::build_turns(past, messages, limits.max_tokens),
            grants,
        ))
    }

    /// Question and answer as turns, so that a reply can continue the conversation.
    pub(super) fn turns_to_save(
        &self,
        job: &Job,
        spec: &JobSpec,
        outcome: &JobOutcome,
        first_message: u64,
    ) -> Vec<store::StoredTurn> {
        let parent = match spec.conversation {
            ConversationRef::RepliesTo(message) => Some(message),
            ConversationRef::New | ConversationRef::Thread(_) | ConversationRef::Call { .. } => {
                None
            }
        };
        let turn = |message, parent, role, content: UserMessage| store::StoredTurn {
            message,
            parent,
            guild: job.details.guild,
            channel: job.details.channel,
            author: content.author,
            role,
            name: content.name,
            text: content.text,
            at: (self.clock)(),
        };
        let answer = |answer: &AnswerText| UserMessage {
            author: job.details.author,
            name: String::new(),
            text: answer.0.trim().to_owned(),
        };
        let (source, author) = (job.details.source, job.details.author);
        // The question is in the request; the message it refers to comes before it.
        let question_turns = |transcripts: &[RecordingTranscript], last: u64| {
            let mut messages = user_messages(author, spec, transcripts);
            let question = messages.pop().filter(|_| messages.len() < 2);
            let referenced = spec.referenced.as_ref().zip(messages.pop());
            let referenced = referenced.map(|(from, content)| (from.message, content));
            let question_parent = referenced.as_ref().map(|(message, _)| *message).or(parent);
            let referenced =
                referenced.map(|(message, content)| turn(message, parent, TurnRole::User, content));
            let question =
                question.map(|content| turn(last, question_parent, TurnRole::User, content));
            referenced.into_iter().chain(question).collect::<Vec<_>>()
        };
        match outcome {
            JobOutcome::Failed { .. } | JobOutcome::Superseded => Vec::new(),
            // A reply to the transcript refers to the words in it.
            JobOutcome::Transcribed { transcripts } => question_turns(transcripts, first_message),
            JobOutcome::Answered {
                transcripts,
                answer: text,
                ..
            } => {
                if text.0.trim().is_empty() {
                    return Vec::new();
                }
                if let ReplyTarget::Spoken = spec.reply_target {
                    // The question is already a line of the session.
                    return vec![turn(first_message, None, TurnRole::Assistant, answer(text))];
                }
                let mut turns = question_turns(transcripts, source);
                turns.push(turn(
                    first_message,
                    Some(source),
                    TurnRole::Assistant,
                    answer(text),
                ));
                turns
            }
        }
    }
}

/// The typed question and the transcripts as user messages, at most two: what somebody else said,
/// then the question about it.
fn user_messages(
    author: u64,
    spec: &JobSpec,
    transcripts: &[RecordingTranscript],
) -> Vec<UserMessage> {
    let question = spec.question.as_deref();
    let own = |text| UserMessage {
        author,
        name: spec.requester_name.clone(),
        text,
    };
    let Some(referenced) = &spec.referenced else {
        return vec![own(combine_question_and_transcripts(question, transcripts))];
    };
    let referenced_message =
        combine_question_and_transcripts(referenced.text.as_deref(), transcripts);
    let author_known = referenced.author != 0;
    let referenced_message = UserMessage {
        author: if author_known {
            referenced.author
        } else {
            author
        },
        name: spec.speaker_name().to_owned(),
        text: referenced_message,
    };
    [referenced_message]
        .into_iter()
        .filter(|message| !message.text.is_empty())
        .chain(question.map(|question| own(question.to_owned())))
        .collect()
}

fn combine_question_and_transcripts(
    question: Option<&str>,
    transcripts: &[RecordingTranscript],
) -> String {
    match transcripts {
        [] => question.unwrap_or_default().to_owned(),
        [one] => user_turn(&one.text, question).text,
        several => {
            let all: Vec<String> = (1_usize..)
                .zip(several)
                .map(|(number, transcript)| format!("Recording {number}: {}", transcript.text))
                .collect();
            user_turn(&all.join("\n\n"), question).text
        }
    }
}
