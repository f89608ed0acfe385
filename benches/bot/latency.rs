//! The time from a voice message to its reply, compared with bare HTTP exchanges.

use std::time::{Duration, Instant};

use super::environment::BotEnvironment;
use super::{BenchResult, as_millis_f64, median};

/// The time from a note to its first visible message, and to its complete answer.
pub(crate) async fn bench_latency(rounds: usize) -> BenchResult<()> {
    let mut environment = BotEnvironment::new().await?;
    environment
        .settings
        .push(("TALKBACK_HTTP", "127.0.0.1:0".to_owned()));
    environment
        .settings
        .push(("TALKBACK_LOG", "off".to_owned()));
    environment.discord.disable_rate_limits();
    let _bot = environment.launch_and_wait().await?;
    let ana = environment.guild.add_member("Ana");
    let channel = ana.dm_channel();
    let (mut first, mut complete) = (Vec::new(), Vec::new());
    for round in 0..rounds + 5 {
        // The bot sends at most 40 requests per second; a round makes two.
        tokio::time::sleep(Duration::from_millis(80)).await;
        let note = ana
            .send_voice_message(&channel, environment.note.clone())
            .await;
        let reply = ana.wait_for_reply(&note).await;
        reply.wait_until_done().await;
        let (sent, times) = (note.version_times(), reply.version_times());
        // The first rounds open connections.
        if let (Some(sent), Some(shown), Some(done)) = (sent.first(), times.first(), times.last())
            && round >= 5
        {
            first.push(*shown - *sent);
            complete.push(*done - *sent);
        }
    }
    let bare = measure_bare_exchanges(&environment, rounds).await?;
    let exchanges: Duration = bare.iter().map(|(_, time)| *time).sum();
    let create = bare.first().map_or(Duration::ZERO, |(_, time)| *time);
    let (first, complete) = (median(&mut first), median(&mut complete));
    println!("A note to its reply, medians of {rounds}:");
    println!("  first visible message  {:6.2} ms", as_millis_f64(first));
    println!(
        "    of it one exchange   {:6.2} ms (bare)",
        as_millis_f64(create)
    );
    println!(
        "    over it              {:6.2} ms",
        as_millis_f64(first.saturating_sub(create))
    );
    println!(
        "  complete answer        {:6.2} ms",
        as_millis_f64(complete)
    );
    println!(
        "    of it all exchanges  {:6.2} ms (bare)",
        as_millis_f64(exchanges)
    );
    println!(
        "    over them            {:6.2} ms",
        as_millis_f64(complete.saturating_sub(exchanges))
    );
    for (name, time) in &bare {
        println!(
            "  bare exchange: {name:<20} {:6.2} ms",
            as_millis_f64(*time)
        );
    }
    stages(&environment).await?;
    Ok(())
}

/// The bot's HTTP exchanges by themselves, over open connections.
async fn measure_bare_exchanges(
    environment: &BotEnvironment,
    rounds: usize,
) -> BenchResult<Vec<(&'static str, Duration)>> {
    let authority = reqwest::Certificate::from_pem(environment.discord.authority_pem().as_bytes())?;
    let discord = reqwest::Client::builder()
        .proxy(reqwest::Proxy::https(environment.discord.proxy_url())?)
        .add_root_certificate(authority)
        .build()?;
    let plain = reqwest::Client::new();
    let ana = environment.guild.add_member("Bare");
    let channel = ana.dm_channel();
    let token = format!("Bot {}", environment.discord.token());
    let api = format!(
        "https://discord.com/api/v10/channels/{}/messages",
        channel.id()
    );
    let requests = environment.sandbox.requests();
    let heard = requests.iter().rfind(|it| it.path.ends_with("/transcribe"));
    let heard = heard.ok_or("no request to the speech provider")?.clone();
    let asked = requests
        .iter()
        .rfind(|it| it.path.ends_with("/chat/completions"));
    let asked = asked.ok_or("no request to the model")?.clone();
    let file = requests
        .iter()
        .rfind(|it| it.path.starts_with("/attachments/"));
    let file = file.ok_or("no download")?.clone();
    let mut times = vec![Vec::new(); 5];
    for _ in 0..rounds + 5 {
        let started = Instant::now();
        let message: serde_json::Value = discord
            .post(&api)
            .header("authorization", &token)
            .json(&serde_json::json!({"content": "-# Listening to 4 s…"}))
            .send()
            .await?
            .json()
            .await?;
        times[0].push(started.elapsed());

        let started = Instant::now();
        let url = format!("https://cdn.discordapp.com{}?{}", file.path, file.query);
        discord
            .get(url)
            .send()
            .await?
            .error_for_status()?
            .bytes()
            .await?;
        times[1].push(started.elapsed());

        let started = Instant::now();
        let url = environment.sandbox.assemblyai().sync_url();
        let url = format!(
            "{}{}",
            url.trim_end_matches(heard.path.as_str()),
            heard.path
        );
        let mut request = plain.post(url).body(heard.body.clone());
        for name in ["authorization", "content-type", "x-aai-model"] {
            if let Some(value) = heard.header(name) {
                request = request.header(name, value);
            }
        }
        request.send().await?.bytes().await?;
        times[2].push(started.elapsed());

        let started = Instant::now();
        let url = format!("{}/chat/completions", environment.sandbox.openai().url());
        let key = asked.header("authorization").unwrap_or_default().to_owned();
        plain
            .post(url)
            .header("authorization", key)
            .header("content-type", "application/json")
            .body(asked.body.clone())
            .send()
            .await?
            .error_for_status()?
            .bytes()
            .await?;
        times[3].push(started.elapsed());

        let started = Instant::now();
        let id = message["id"].as_str().unwrap_or_default();
        discord
            .patch(format!("{api}/{id}"))
            .header("authorization", &token)
            .json(&serde_json::json!({"content": "The capital of France is Paris."}))
            .send()
            .await?
            .error_for_status()?
            .bytes()
            .await?;
        times[4].push(started.elapsed());
    }
    let names = [
        "create the message",
        "fetch the file",
        "speech to text",
        "answer",
        "edit the message",
    ];
    Ok(names
        .into_iter()
        .zip(times)
        .map(|(name, mut times)| (name, median(&mut times.split_off(5))))
        .collect())
}

/// The time per stage, from the bot's own metrics.
async fn stages(environment: &BotEnvironment) -> BenchResult<()> {
    let log = environment.log();
    let address = log
        .split("http://")
        .nth(1)
        .and_then(|rest| rest.split("/healthz").next())
        .ok_or("no address of the metrics")?;
    let text = reqwest::get(format!("http://{address}/metrics"))
        .await?
        .text()
        .await?;
    for stage in ["hear", "answer", "deliver"] {
        let value = |name: &str| {
            let label = format!("talkback_stage_seconds_{name}{{stage=\"{stage}\"}}");
            let line = text.lines().find(|line| line.starts_with(&label));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        };
        if let (Some(sum), Some(count)) = (value("sum"), value("count")) {
            println!("  stage {stage:<8} {:6.2} ms (mean)", sum / count * 1_000.0);
        }
    }
    Ok(())
}
