//! The conversation that a model answers.

/// A system prompt and the turns after it, oldest first. The model answers the last turn.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// The system prompt.
    pub system: String,
    /// The turns, oldest first.
    pub turns: Vec<ChatTurn>,
}

/// One message of a conversation.
#[derive(Clone)]
pub struct ChatTurn {
    /// Who wrote it.
    pub role: ChatRole,
    /// The user's name, if several people talk.
    pub speaker_name: Option<String>,
    /// The text.
    pub text: String,
}

impl std::fmt::Debug for ChatTurn {
    /// Prompts never reach a log, only their size.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}({} bytes)", self.role, self.text.len())
    }
}

/// The author of a turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChatRole {
    /// A user.
    User,
    /// The model.
    Assistant,
}
