//! What happens to people's data, and its deletion.

/// Which services get recordings and text, and how long text is kept.
#[derive(Clone, Debug)]
pub struct DataHandling {
    /// The speech providers, in the order in which they are tried.
    pub transcribers: String,
    /// The chat model and where it runs.
    pub chat_model: String,
    /// How many days transcripts and answers are kept.
    pub retention_days: u64,
    /// What AssemblyAI keeps, if any provider is AssemblyAI's.
    pub assemblyai_retention: Option<AssemblyAiRetention>,
}

/// Whether AssemblyAI keeps recordings and transcripts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AssemblyAiRetention {
    /// Uploads and transcripts are deleted.
    Deleted,
    /// The operator chose to have them kept.
    Kept,
}

/// The answer to `/privacy`.
pub fn privacy(data: &DataHandling) -> String {
    let DataHandling {
        transcribers,
        chat_model,
        retention_days,
        assemblyai_retention,
    } = data;
    let assemblyai = match assemblyai_retention {
        None => "",
        Some(AssemblyAiRetention::Deleted) => {
            " I ask AssemblyAI to delete what was uploaded as soon as I have the words; it says \
             that anything it still keeps is gone after 30 days. It may use recordings to improve \
             its models unless whoever runs me has opted out."
        }
        Some(AssemblyAiRetention::Kept) => {
            " AssemblyAI keeps recordings and their words for the time set in the account of \
             whoever runs me, 30 days by default. It may use them to improve its models unless \
             whoever runs me has opted out."
        }
    };
    format!(
        "**What happens to what you say**\n\
         - I only listen to recordings sent to me: in direct messages, in channels where this is \
         turned on, or when you call me. I only read messages addressed to me.\n\
         - Recordings go to: {transcribers}. I delete them here as soon as they're \
         transcribed.{assemblyai}\n\
         - The words, and what you type to me, go to: {chat_model}.\n\
         - Words and answers are kept for {retention_days} days, encrypted, so that you can continue a \
         conversation. Minutes, tokens and cost are counted per member.\n\
         - If you delete your message, I delete my answer and what I stored of it. `/forget-me` \
         deletes everything I've stored about you, except how much you used today, which I keep \
         until midnight UTC without any of your words. What I wrote in channels stays there until \
         it's deleted. I don't train anything on what you say."
    )
}

/// The answer to `/forget-me` when the ledger can't be written.
pub const DELETION_NOT_SAVED: &str = "From now on I won't use anything I've stored about you. I \
     couldn't delete it just now and will keep trying, but if I'm restarted first, I'll lose track \
     of it. Use `/forget-me` again later to be sure.";

/// The answer to `/forget-me`.
pub fn user_data_deleted(jobs: u64, turns: u64) -> String {
    format!(
        "Done: I deleted {jobs} requests and {turns} pieces of conversation. What you used today \
         still counts until midnight UTC. My answers in channels stay until you delete your \
         messages or press “Delete” under them."
    )
}

/// The answer to `/reset`. `whole`: the whole conversation was forgotten, not only the member's
/// part.
pub fn conversation_reset(turns: u64, whole: bool) -> String {
    match (turns, whole) {
        (0, _) => "There was nothing to forget here.".to_owned(),
        (_, true) => "Forgotten. The conversation here starts over.".to_owned(),
        (_, false) => "I've forgotten what you said here and what I answered you.".to_owned(),
    }
}
