//! What is still tried when Discord refuses to show something, so that whoever asked sees an end.
//!
//! A pure state machine. Every refusal leads further down: to something simpler, or to another
//! place. It can't lead up again, so there is an end after a handful of steps, whatever Discord
//! says.

use super::trouble::{Objection, Trouble};
use crate::words::bot::Withheld;

/// Where something is shown, from the best place to the last one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Way {
    /// In place of a command's response.
    Response,
    /// In place of a message of ours.
    Edit,
    /// As a new message that replies, if there is anything to reply to.
    Reply,
    /// As a new message.
    New,
    /// To whoever asked, directly.
    Aside,
}

/// How much of it is shown.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// All but the files.
    Bare {
        /// They were refused; else there is no right to attach any.
        refused: bool,
    },
    /// One sentence of ours instead.
    Sentence(Withheld),
}

/// One try.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Rung {
    pub(super) way: Way,
    pub(super) part: Part,
}

/// What can be tried at all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Shape {
    /// There are files.
    pub(super) files: bool,
    /// New messages can be sent to the channel.
    pub(super) channel: bool,
    /// Somebody can be told directly.
    pub(super) aside: bool,
}

/// What follows from a refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// The same again, after a while.
    Wait,
    /// This instead.
    Try(Rung),
    /// What was there has been deleted, and stays so.
    Deleted,
    /// There is no place left.
    Closed,
}

/// The way down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ladder {
    rung: Rung,
    shape: Shape,
}

impl Ladder {
    /// Begins with all of it.
    pub(super) fn new(way: Way, shape: Shape) -> Self {
        Self {
            rung: Rung {
                way,
                part: Part::Whole,
            },
            shape,
        }
    }

    /// What is to be tried now.
    pub(super) fn rung(&self) -> Rung {
        self.rung
    }

    /// Discord has refused that.
    pub(super) fn down(&mut self, trouble: &Trouble) -> Step {
        let Rung { way, part } = self.rung;
        let files = part == Part::Whole && self.shape.files;
        let next = match trouble {
            Trouble::Later(_) | Trouble::Unauthorized => return Step::Wait,
            Trouble::Gone(_) if way != Way::Aside => return Step::Deleted,
            Trouble::Gone(_) => None,
            // Files need a right of their own, and so does replying.
            Trouble::Forbidden(_) if files => Some((way, Part::Bare { refused: false })),
            Trouble::Forbidden(_) => self.elsewhere(Withheld::Closed),
            Trouble::Archived(_) | Trouble::TokenDead(_) => match way {
                Way::Response | Way::Edit => self.elsewhere(Withheld::Closed),
                // Opening it again is for others.
                _ => self.aside(Withheld::Closed),
            },
            Trouble::Refused(Objection::Reference, _) if way == Way::Reply => {
                Some((Way::New, part))
            }
            Trouble::Refused(Objection::Edit, _) if way == Way::Edit => {
                self.elsewhere(Withheld::Refused)
            }
            Trouble::Refused(Objection::Filter, _) => self.instead(Withheld::Filtered),
            Trouble::Refused(Objection::Empty, _) => self.instead(Withheld::Empty),
            Trouble::Refused(..) | Trouble::Acknowledged if files => {
                Some((way, Part::Bare { refused: true }))
            }
            Trouble::Refused(..) | Trouble::Acknowledged if way == Way::Reply => {
                Some((Way::New, part))
            }
            Trouble::Refused(..) | Trouble::Acknowledged => self.instead(Withheld::Refused),
        };
        let Some((way, part)) = next else {
            return Step::Closed;
        };
        self.rung = Rung { way, part };
        Step::Try(self.rung)
    }

    /// A sentence in the same place, or if that is refused too, the next place.
    fn instead(&self, why: Withheld) -> Option<(Way, Part)> {
        match self.rung.part {
            Part::Sentence(_) => self.elsewhere(why),
            Part::Whole | Part::Bare { .. } => Some((self.rung.way, Part::Sentence(why))),
        }
    }

    /// The next place.
    fn elsewhere(&self, why: Withheld) -> Option<(Way, Part)> {
        match self.rung.way {
            Way::Response | Way::Edit if self.shape.channel => Some((Way::Reply, self.rung.part)),
            Way::Reply => Some((Way::New, self.rung.part)),
            _ => self.aside(why),
        }
    }

    /// Only ever a sentence: what others wrote does not follow anybody around.
    fn aside(&self, why: Withheld) -> Option<(Way, Part)> {
        let part = match self.rung.part {
            Part::Sentence(why) => Part::Sentence(why),
            Part::Whole | Part::Bare { .. } => Part::Sentence(why),
        };
        (self.shape.aside && self.rung.way != Way::Aside).then_some((Way::Aside, part))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;
    use net::Cause;

    fn troubles() -> Vec<(&'static str, Trouble)> {
        let said = || Cause::from("");
        let refused = |objection| Trouble::Refused(objection, "".into());
        vec![
            ("forbidden", Trouble::Forbidden(said())),
            ("archived", Trouble::Archived(said())),
            ("token dead", Trouble::TokenDead(said())),
            ("gone", Trouble::Gone(said())),
            ("reference", refused(Objection::Reference)),
            ("files", refused(Objection::Files)),
            ("filter", refused(Objection::Filter)),
            ("empty", refused(Objection::Empty)),
            ("edit", refused(Objection::Edit)),
            ("form", refused(Objection::Form)),
            ("acknowledged", Trouble::Acknowledged),
        ]
    }

    fn shapes() -> impl Strategy<Value = Shape> {
        any::<(bool, bool, bool)>().prop_map(|(files, channel, aside)| Shape {
            files,
            channel,
            aside,
        })
    }

    /// What is tried one after the other if Discord always says the same.
    #[test]
    fn the_same_refusal_again_and_again_leads_here() {
        let mut all = String::new();
        for way in [Way::Response, Way::Edit, Way::Reply] {
            for (name, trouble) in troubles() {
                let shape = Shape {
                    files: true,
                    channel: true,
                    aside: true,
                };
                let mut ladder = Ladder::new(way, shape);
                let _ = write!(all, "{way:?}, {name}:");
                loop {
                    match ladder.down(&trouble) {
                        Step::Try(Rung { way, part }) => {
                            let _ = write!(all, " {way:?} {part:?},");
                        }
                        over => {
                            let _ = writeln!(all, " {over:?}");
                            break;
                        }
                    }
                }
            }
        }
        insta::assert_snapshot!(all);
    }

    proptest! {
        #[test]
        fn every_refusal_leads_down_and_there_is_an_end(
            way in prop::sample::select(vec![Way::Response, Way::Edit, Way::Reply, Way::New]),
            shape in shapes(),
            said in prop::collection::vec(prop::sample::select(troubles()), 20),
        ) {
            let mut ladder = Ladder::new(way, shape);
            let mut steps = 0;
            for (name, trouble) in said {
                let before = ladder.rung();
                match ladder.down(&trouble) {
                    Step::Wait => prop_assert!(false, "{name} is no reason to wait"),
                    Step::Try(after) => {
                        steps += 1;
                        prop_assert!(after.way >= before.way && after != before, "{after:?}");
                        prop_assert!(
                            after.part >= before.part
                                || matches!((before.part, after.part), (Part::Sentence(_), Part::Sentence(_))),
                            "{before:?} {after:?}"
                        );
                        prop_assert!(shape.channel || way >= Way::Reply || !matches!(after.way, Way::Reply | Way::New));
                        prop_assert!(shape.aside || after.way != Way::Aside);
                        let bare = matches!(after.part, Part::Bare { .. });
                        prop_assert!(shape.files || !bare);
                        let direct = after.way == Way::Aside;
                        prop_assert!(!direct || matches!(after.part, Part::Sentence(_)));
                    }
                    Step::Deleted | Step::Closed => return Ok(()),
                }
            }
            prop_assert!(steps <= 8, "{steps} steps");
        }

        #[test]
        fn what_may_pass_is_waited_for_and_changes_nothing(way in prop::sample::select(vec![Way::Edit, Way::Reply]), shape in shapes()) {
            let mut ladder = Ladder::new(way, shape);
            let before = ladder.rung();
            prop_assert_eq!(ladder.down(&Trouble::Later("".into())), Step::Wait);
            prop_assert_eq!(ladder.rung(), before);
        }

        /// A filter, an empty text, a form: the place is open, so something is said in it.
        #[test]
        fn a_refused_text_is_followed_by_a_sentence_in_the_same_place(
            way in prop::sample::select(vec![Way::Response, Way::Edit, Way::New]),
            shape in shapes(),
            objection in prop::sample::select(vec![Objection::Filter, Objection::Empty]),
        ) {
            let mut ladder = Ladder::new(way, shape);
            let Step::Try(rung) = ladder.down(&Trouble::Refused(objection, "".into())) else {
                return Err(TestCaseError::fail("nothing is tried"));
            };
            prop_assert_eq!(rung.way, way);
            prop_assert!(matches!(rung.part, Part::Sentence(_)));
        }
    }
}
