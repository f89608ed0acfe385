//! Asks the REST API: serenity sends and keeps to the limits, and what comes back is read as
//! [`decode`] says.

use serde_json::Value;
use serenity::all::{Http, LightMethod, Request, Route};

use super::decode::{self, Application, GatewayBot, Undecodable, parse};
use super::trouble::{Objection, Trouble, unreadable};
use net::{self, Cause, Skew};

impl From<Undecodable> for Trouble {
    /// Asked again, it would be the same.
    fn from(error: Undecodable) -> Self {
        let said = Cause::from(error.what).and("can't be read");
        Self::Refused(Objection::Form, said)
    }
}

/// Sends a request, and gives the answer as it is.
pub(super) async fn ask(http: &Http, request: Request<'_>) -> Result<Value, Trouble> {
    let answer = http.request(request).await?;
    read(answer).await
}

async fn read(answer: reqwest::Response) -> Result<Value, Trouble> {
    let body = net::read_body(answer, net::MAX_BODY).await;
    let body = body.map_err(|_| Trouble::Later("the answer broke off".into()))?;
    parse(&String::from_utf8_lossy(&body)).map_err(|_| unreadable())
}

/// Sends a request of which only matters that it is done.
pub(super) async fn tell(http: &Http, request: Request<'_>) -> Result<(), Trouble> {
    http.request(request).await?;
    Ok(())
}

/// Gets what is at `route`.
pub(super) async fn get(http: &Http, route: Route<'_>) -> Result<Value, Trouble> {
    ask(http, Request::new(route, LightMethod::Get)).await
}

/// The bot's application, and how far this machine's clock is from Discord's.
pub(super) async fn application(http: &Http) -> Result<(Application, Option<Skew>), Trouble> {
    let request = Request::new(Route::Oauth2ApplicationCurrent, LightMethod::Get);
    let answer = http.request(request).await?;
    let skew = Skew::of(answer.headers());
    let application = decode::application(&read(answer).await?)?;
    Ok((application, skew))
}

/// The bot's own user.
pub(super) async fn myself(http: &Http) -> Result<serenity::all::User, Trouble> {
    Ok(decode::user(&get(http, Route::UserMe).await?)?)
}

/// Where the gateway is.
pub(super) async fn gateway_bot(http: &Http) -> Result<GatewayBot, Trouble> {
    Ok(decode::gateway_bot(&get(http, Route::GatewayBot).await?)?)
}
