//! What has been said so far, as a model is told.

/// A system prompt and the turns after it, oldest first. The last one is to be answered.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// How to answer.
    pub system: String,
    /// Who said what.
    pub turns: Vec<ChatTurn>,
}

/// One contribution.
#[derive(Clone)]
pub struct ChatTurn {
    /// Whose it is.
    pub role: ChatRole,
    /// The name of the person, where several talk.
    pub speaker_name: Option<String>,
    /// The words.
    pub text: String,
}

impl std::fmt::Debug for ChatTurn {
    /// Prompts never reach a log: only their size does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}({} bytes)", self.role, self.text.len())
    }
}

/// Whose turn it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChatRole {
    /// A person.
    User,
    /// The model.
    Assistant,
}
