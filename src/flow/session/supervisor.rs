//! Watches over the connection to a call, and decides what is done when nobody can be heard.
//!
//! A pure state machine: time is an argument. The rules are what was measured of the driver and
//! what Discord's close codes mean
//! (<https://discord.com/developers/docs/topics/opcodes-and-status-codes#voice-voice-close-event-codes>):
//!
//! - *Listening*: all is well. Without a sign of life from the driver for [`STILL`], a new one is
//!   made: what is wrong with the old one may be for good. One that has held for `STEADY` and is
//!   lost is made anew at once.
//! - *Dialing*: a connection is being made. If it fails, or does not hold for `STEADY`, another one
//!   is tried later, each time after a longer wait, for at most [`PATIENCE`].
//! - *Waiting*: until it is time for that.
//! - *Parting*: Discord has closed the call for us. If nobody says where it goes on, it is over.

use std::time::Duration;

/// The driver gives a sign of life at least twice a second. After this long without one it is taken
/// for dead.
pub const STILL: Duration = Duration::from_secs(3);

/// How long a lost connection is tried to be made again.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// How long one connection may take to be made.
const DIAL: Duration = Duration::from_secs(30);

/// How long to wait for word of where a call goes on that has been closed for us.
const PARTING: Duration = Duration::from_secs(6);

/// How long somebody speaks without a packet of theirs before the connection is doubted.
const UNHEARD: Duration = Duration::from_secs(4);

/// The least time between two new connections made out of doubt alone.
const DOUBT_AGAIN: Duration = Duration::from_secs(60);

/// A connection that has held this long was a good one. Whoever is sent away sooner waits before
/// coming back.
const STEADY: Duration = Duration::from_secs(10);

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What need not be done for a driver.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Skill {
    /// It hears as long as it is connected. Nobody is heard while it connects elsewhere, and it loses
    /// people who leave and come back at once.
    Hears,
    /// It mends a connection too, and says since when nobody can be heard. Whoever is heard is heard
    /// on while it connects elsewhere.
    Mends,
}

/// Something happened to the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sign {
    /// The driver is connected, or connected again by itself.
    Connected,
    /// Nobody can be heard since then. The driver does something about it.
    Deaf(Duration),
    /// The driver has lost the connection and does nothing about it. With Discord's close code.
    Lost(Option<u16>),
    /// A connection could not be made.
    Failed,
    /// Discord has told where the call is now: a new server, or another channel.
    Elsewhere,
    /// Somebody was said to speak.
    Speaks,
    /// A packet came.
    Packet,
    /// The bot was taken out of the call.
    TakenOut,
    /// Somebody has left and come back so quickly that a driver may have lost track of them.
    CameBack,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Nothing.
    Stay,
    /// The driver connects with what is known of the call.
    Redial,
    /// A new driver connects with it.
    NewDriver,
    /// The gateway is asked for a new session of the call.
    Rejoin,
    /// It is over.
    End(Cause),
}

/// Why it is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// The bot was taken out, or the channel is gone.
    TakenOut,
    /// Discord ended the call, or does not want the bot in it.
    Refused(u16),
    /// There was no connection for too long.
    Unreachable,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Listening,
    Dialing { since: Duration },
    Waiting { until: Duration },
    Parting { until: Duration, code: u16 },
    Over,
}

/// Watches over one connection.
#[derive(Debug)]
pub struct Supervisor {
    skill: Skill,
    state: State,
    /// Since when nobody can be heard.
    deaf_since: Option<Duration>,
    /// Since when there is no connection that holds.
    troubled_since: Option<Duration>,
    wait: Duration,
    /// When the connection was made.
    connected: Duration,
    /// Of the driver's last sign of life.
    alive: Duration,
    /// Since when somebody is said to speak and no packet has come.
    unheard_since: Option<Duration>,
    doubted: Option<Duration>,
}

impl Supervisor {
    /// A connection is being made.
    #[must_use]
    pub fn new(now: Duration, skill: Skill) -> Self {
        Self {
            skill,
            state: State::Dialing { since: now },
            deaf_since: Some(now),
            troubled_since: None,
            wait: FIRST_WAIT,
            connected: now,
            alive: now,
            unheard_since: None,
            doubted: None,
        }
    }

    /// Since when nobody can be heard, if so.
    #[must_use]
    pub fn deaf_since(&self) -> Option<Duration> {
        self.deaf_since
    }

    /// The driver gave its last sign of life then.
    pub fn alive(&mut self, at: Duration) {
        self.alive = self.alive.max(at);
    }

    /// Something happened.
    pub fn on(&mut self, now: Duration, sign: Sign) -> Step {
        if self.state == State::Over {
            return Step::Stay;
        }
        match sign {
            Sign::Connected => {
                self.state = State::Listening;
                self.deaf_since = None;
                self.connected = now;
                self.alive = now;
                self.unheard_since = None;
                Step::Stay
            }
            Sign::Deaf(since) => {
                self.deaf(since);
                self.unheard_since = None;
                Step::Stay
            }
            Sign::Lost(code) => self.lost(now, code),
            Sign::Failed => self.wait_then_rejoin(now),
            Sign::Elsewhere => self.elsewhere(now),
            Sign::Speaks => {
                // While nobody can be heard, that is no wonder.
                if self.state == State::Listening && self.deaf_since.is_none() {
                    self.unheard_since.get_or_insert(now);
                }
                Step::Stay
            }
            Sign::Packet => {
                self.unheard_since = None;
                Step::Stay
            }
            Sign::TakenOut => self.end(Cause::TakenOut),
            Sign::CameBack => match (self.skill, self.state) {
                (Skill::Hears, State::Listening) => self.elsewhere(now),
                _ => Step::Stay,
            },
        }
    }

    /// Time passes.
    pub fn advance(&mut self, now: Duration) -> Step {
        if self.is_steady(now) {
            self.troubled_since = None;
            self.wait = FIRST_WAIT;
        }
        match self.state {
            State::Listening if now.saturating_sub(self.alive) > STILL => self.revive(now),
            State::Listening => self.doubt(now),
            State::Dialing { since } if now.saturating_sub(since) > DIAL => {
                self.wait_then_rejoin(now)
            }
            State::Waiting { until } if now >= until => {
                self.state = State::Dialing { since: now };
                Step::Rejoin
            }
            State::Parting { until, code } if now >= until => self.end(match code {
                4_014 => Cause::TakenOut,
                code => Cause::Refused(code),
            }),
            _ => Step::Stay,
        }
    }

    /// Whether there is a connection that has held, at least until nobody could be heard on it.
    fn is_steady(&self, now: Duration) -> bool {
        let held = self.deaf_since.unwrap_or(now);
        self.state == State::Listening && held >= self.connected.saturating_add(STEADY)
    }

    fn elsewhere(&mut self, now: Duration) -> Step {
        if self.skill == Skill::Hears {
            self.deaf(now);
        }
        self.state = State::Dialing { since: now };
        Step::Redial
    }

    fn lost(&mut self, now: Duration, code: Option<u16>) -> Step {
        self.deaf(now);
        match code {
            // Moved, removed, or the channel is gone: the gateway says which.
            Some(code @ (4_014 | 4_022)) => {
                let until = now + PARTING;
                self.state = State::Parting { until, code };
                Step::Stay
            }
            // Rate limited: whoever comes again makes it worse. Without end-to-end encryption
            // there is no call to be had at all.
            Some(code @ (4_004 | 4_011 | 4_017 | 4_021)) => self.end(Cause::Refused(code)),
            _ if self.is_steady(now) => {
                self.wait = FIRST_WAIT;
                self.troubled_since = Some(now);
                self.state = State::Dialing { since: now };
                Step::Rejoin
            }
            _ => self.wait_then_rejoin(now),
        }
    }

    /// The driver does nothing any more.
    fn revive(&mut self, now: Duration) -> Step {
        self.deaf_since.get_or_insert(self.alive);
        self.alive = now;
        self.state = State::Dialing { since: now };
        Step::NewDriver
    }

    /// Somebody speaks and nothing is heard of it.
    fn doubt(&mut self, now: Duration) -> Step {
        let unheard = self
            .unheard_since
            .is_some_and(|since| now.saturating_sub(since) > UNHEARD);
        let recently = self
            .doubted
            .is_some_and(|at| now.saturating_sub(at) < DOUBT_AGAIN);
        if !unheard || recently {
            return Step::Stay;
        }
        self.doubted = Some(now);
        self.deaf(self.unheard_since.unwrap_or(now));
        self.unheard_since = None;
        self.state = State::Dialing { since: now };
        Step::Redial
    }

    fn wait_then_rejoin(&mut self, now: Duration) -> Step {
        self.deaf(now);
        let since = *self.troubled_since.get_or_insert(now);
        let deaf = self.deaf_since.unwrap_or(now);
        if now.saturating_sub(deaf.min(since)) > PATIENCE {
            return self.end(Cause::Unreachable);
        }
        self.state = State::Waiting {
            until: now + self.wait,
        };
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        Step::Stay
    }

    fn deaf(&mut self, since: Duration) {
        self.deaf_since.get_or_insert(since);
    }

    fn end(&mut self, cause: Cause) -> Step {
        self.state = State::Over;
        Step::End(cause)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn listening() -> Supervisor {
        listening_with(Skill::Hears)
    }

    fn listening_with(skill: Skill) -> Supervisor {
        let mut supervisor = Supervisor::new(at(0), skill);
        assert_eq!(supervisor.on(at(1), Sign::Connected), Step::Stay);
        supervisor
    }

    #[test]
    fn close_codes_are_answered_as_they_must_be() {
        for (code, immediately, later) in [
            (None, Step::Stay, Step::Rejoin),
            (Some(4_006), Step::Stay, Step::Rejoin),
            (Some(4_009), Step::Stay, Step::Rejoin),
            (Some(4_014), Step::Stay, Step::End(Cause::TakenOut)),
            (Some(4_022), Step::Stay, Step::End(Cause::Refused(4_022))),
            (Some(4_017), Step::End(Cause::Refused(4_017)), Step::Stay),
            (Some(4_021), Step::End(Cause::Refused(4_021)), Step::Stay),
        ] {
            let mut supervisor = listening();
            assert_eq!(
                supervisor.on(at(10), Sign::Lost(code)),
                immediately,
                "{code:?}"
            );
            assert_eq!(supervisor.advance(at(17)), later, "{code:?}");
        }
    }

    #[test]
    fn a_good_connection_is_made_anew_at_once() {
        let mut supervisor = listening();
        assert_eq!(supervisor.on(at(60), Sign::Lost(Some(4_006))), Step::Rejoin);
        assert_eq!(supervisor.deaf_since(), Some(at(60)));
        supervisor.on(at(61), Sign::Connected);
        // Whoever is sent away again and again does not hurry.
        assert_eq!(supervisor.on(at(62), Sign::Lost(Some(4_006))), Step::Stay);
        assert_eq!(supervisor.advance(at(63)), Step::Rejoin);
        assert_eq!(supervisor.on(at(64), Sign::Failed), Step::Stay);
    }

    #[test]
    fn whoever_is_moved_follows() {
        let mut supervisor = listening();
        supervisor.on(at(10), Sign::Lost(Some(4_014)));
        assert_eq!(supervisor.on(at(11), Sign::Elsewhere), Step::Redial);
        assert_eq!(supervisor.deaf_since(), Some(at(10)));
        supervisor.on(at(12), Sign::Connected);
        assert_eq!(supervisor.deaf_since(), None);
    }

    #[test]
    fn a_driver_that_hears_on_elsewhere_is_not_deaf_meanwhile() {
        let mut supervisor = listening_with(Skill::Mends);
        assert_eq!(supervisor.on(at(10), Sign::Elsewhere), Step::Redial);
        assert_eq!(supervisor.deaf_since(), None);
        // Should it not get there, the call is joined again.
        assert_eq!(supervisor.on(at(20), Sign::Failed), Step::Stay);
        assert_eq!(supervisor.deaf_since(), Some(at(20)));
        assert_eq!(supervisor.advance(at(21)), Step::Rejoin);
    }

    #[test]
    fn a_driver_that_mends_is_left_alone_and_its_gap_is_known() {
        let mut supervisor = listening_with(Skill::Mends);
        assert_eq!(supervisor.on(at(12), Sign::Deaf(at(10))), Step::Stay);
        for second in 12..30 {
            supervisor.alive(at(second));
            supervisor.on(at(second), Sign::Speaks);
            assert_eq!(supervisor.advance(at(second)), Step::Stay);
        }
        assert_eq!(supervisor.deaf_since(), Some(at(10)));
        supervisor.on(at(30), Sign::Connected);
        assert_eq!(supervisor.deaf_since(), None);
        // One that gives up says so.
        supervisor.on(at(42), Sign::Deaf(at(41)));
        assert_eq!(supervisor.on(at(45), Sign::Lost(None)), Step::Rejoin);
        assert_eq!(supervisor.deaf_since(), Some(at(41)));
    }

    #[test]
    fn whoever_comes_back_at_once_is_only_lost_by_some_drivers() {
        let came_back = |skill| listening_with(skill).on(at(10), Sign::CameBack);
        assert_eq!(came_back(Skill::Hears), Step::Redial);
        assert_eq!(came_back(Skill::Mends), Step::Stay);
    }

    #[test]
    fn a_silent_driver_is_replaced() {
        let mut supervisor = listening();
        supervisor.alive(at(5));
        assert_eq!(supervisor.advance(at(7)), Step::Stay);
        assert_eq!(supervisor.advance(at(9)), Step::NewDriver);
        assert_eq!(supervisor.deaf_since(), Some(at(5)));
        supervisor.on(at(10), Sign::Connected);
        assert_eq!(supervisor.deaf_since(), None);
    }

    #[test]
    fn speech_without_packets_is_doubted_once_in_a_while() {
        let mut supervisor = listening();
        let mut steps = Vec::new();
        for second in 2..200 {
            supervisor.alive(at(second));
            supervisor.on(at(second), Sign::Speaks);
            if supervisor.advance(at(second)) == Step::Redial {
                steps.push(second);
                supervisor.on(at(second), Sign::Connected);
            }
        }
        assert_eq!(steps, [7, 67, 127, 187]);
    }

    #[test]
    fn packets_take_the_doubt_away() {
        let mut supervisor = listening();
        for second in 2..60 {
            supervisor.alive(at(second));
            supervisor.on(at(second), Sign::Speaks);
            supervisor.on(at(second), Sign::Packet);
            assert_eq!(supervisor.advance(at(second)), Step::Stay);
        }
    }

    #[test]
    fn patience_ends() {
        let mut supervisor = listening();
        supervisor.on(at(10), Sign::Lost(None));
        let mut tries = 0;
        let mut ended = None;
        for second in 10..1_000 {
            let step = supervisor.advance(at(second));
            assert!(matches!(step, Step::Rejoin | Step::Stay), "{step:?}");
            if step == Step::Rejoin {
                tries += 1;
                if let Step::End(cause) = supervisor.on(at(second), Sign::Failed) {
                    ended = Some((second, cause));
                }
            }
        }
        let (second, cause) = ended.expect("it ends");
        assert_eq!(cause, Cause::Unreachable);
        assert!((310..360).contains(&second), "{second}");
        assert!((8..20).contains(&tries), "{tries}");
    }

    #[test]
    fn a_server_that_lets_in_and_closes_at_once_is_tried_ever_more_rarely() {
        for skill in [Skill::Hears, Skill::Mends] {
            let mut supervisor = listening_with(skill);
            let mut tries = Vec::new();
            let mut ended = None;
            supervisor.on(at(2), Sign::Lost(None));
            for second in 2..1_000 {
                if supervisor.advance(at(second)) == Step::Rejoin {
                    tries.push(second);
                    supervisor.on(at(second), Sign::Connected);
                    if let Step::End(cause) = supervisor.on(at(second), Sign::Lost(None)) {
                        ended = Some((second, cause));
                        break;
                    }
                }
            }
            assert_eq!(tries[..6], [3, 5, 9, 17, 33, 63]);
            let (second, cause) = ended.expect("it ends");
            assert_eq!(cause, Cause::Unreachable);
            assert!((300..350).contains(&second), "{second}");
        }
    }

    #[test]
    fn only_a_connection_that_holds_takes_the_wait_away() {
        let mut supervisor = listening();
        for (lost, tried) in [(2, 3), (4, 6), (7, 11)] {
            assert_eq!(supervisor.on(at(lost), Sign::Lost(None)), Step::Stay);
            assert_eq!(supervisor.advance(at(tried)), Step::Rejoin);
            supervisor.on(at(tried), Sign::Connected);
        }
        for second in 11..30 {
            supervisor.alive(at(second));
            supervisor.advance(at(second));
        }
        assert_eq!(supervisor.on(at(30), Sign::Lost(None)), Step::Rejoin);
        assert_eq!(supervisor.on(at(31), Sign::Failed), Step::Stay);
        assert_eq!(supervisor.advance(at(32)), Step::Rejoin);
    }

    fn signs() -> impl Strategy<Value = Option<Sign>> {
        prop_oneof![
            3 => Just(None),
            1 => Just(Some(Sign::Connected)),
            1 => prop::option::of(3_990_u16..4_030).prop_map(|code| Some(Sign::Lost(code))),
            1 => Just(Some(Sign::Failed)),
            1 => Just(Some(Sign::Elsewhere)),
            1 => Just(Some(Sign::Speaks)),
            1 => Just(Some(Sign::Packet)),
            1 => Just(Some(Sign::CameBack)),
            1 => (0_u64..600).prop_map(|since| Some(Sign::Deaf(at(since)))),
        ]
    }

    proptest! {
        #[test]
        fn it_never_hangs_for_ever(
            steps in prop::collection::vec((signs(), 0_u64..20), 0..60),
            skill in prop_oneof![Just(Skill::Hears), Just(Skill::Mends)],
        ) {
            let mut supervisor = Supervisor::new(at(0), skill);
            let mut now = 0;
            let mut over = false;
            for (sign, pause) in steps {
                now += pause;
                let step = match sign {
                    Some(sign) => supervisor.on(at(now), sign),
                    None => supervisor.advance(at(now)),
                };
                // After the end nothing is done any more.
                prop_assert!(!over || step == Step::Stay);
                over |= matches!(step, Step::End(_));
            }
            // Whatever happened, left alone it does something or ends.
            let mut acted = over;
            for second in 0..400 {
                acted |= supervisor.advance(at(now + second)) != Step::Stay;
            }
            prop_assert!(acted);
        }
    }
}
