"""A bot as tutorials build it: a voice message is uploaded to AssemblyAI, which is asked until the
transcript is there; a model answers it, and the bot replies with the answer.

Written with the official packages and as they are meant to be used: nothing blocks the event loop,
and clients are shared. It is what Talkback is measured beside (`cargo bench --bench compare`), and
the client that shows that the sandbox is a Discord for more than one library.

Settings, from the environment: DISCORD_TOKEN, ASSEMBLYAI_API_KEY, OPENAI_API_KEY; if wanted
OPENAI_MODEL, ASSEMBLYAI_API_URL, OPENAI_BASE_URL, HTTPS_PROXY (for Discord), POLL_SECONDS.
"""

import logging
import os
from collections import defaultdict, deque

import assemblyai as aai
import discord
from discord.utils import MISSING
from openai import AsyncOpenAI, OpenAIError

MAX_CHARS = 2_000
MAX_BYTES = 25 * 1024 * 1024
MAX_TURNS = 10
SYSTEM = (
    "You answer voice messages in a Discord chat. Be brief and friendly. What you are given is a "
    "transcript, which may have errors."
)

log = logging.getLogger("bot")


def settings() -> aai.Settings:
    """AssemblyAI's settings; the package's own poll interval is three seconds."""
    made = aai.Settings(api_key=os.environ["ASSEMBLYAI_API_KEY"])
    if url := os.environ.get("ASSEMBLYAI_API_URL"):
        made.base_url = url
    if seconds := os.environ.get("POLL_SECONDS"):
        made.polling_interval = float(seconds)
    return made


def recording(message: discord.Message) -> discord.Attachment | None:
    """The voice message in a message, if it is one."""
    if not message.flags.voice:
        return None
    for attachment in message.attachments:
        if attachment.is_voice_message() and attachment.size <= MAX_BYTES:
            return attachment
    return None


def pieces(text: str) -> list[str]:
    """The text in messages that Discord takes, parted between lines or words where there are any."""
    parts = []
    while len(text) > MAX_CHARS:
        cut = max(text.rfind("\n", 0, MAX_CHARS), text.rfind(" ", 0, MAX_CHARS))
        cut = cut if cut > 0 else MAX_CHARS
        parts.append(text[:cut])
        text = text[cut:].lstrip()
    return parts + [text] if text else parts


class Bot(discord.Client):
    def __init__(self) -> None:
        intents = discord.Intents.default()
        intents.message_content = True
        super().__init__(
            intents=intents,
            proxy=os.environ.get("HTTPS_PROXY"),
            allowed_mentions=discord.AllowedMentions.none(),
        )
        self.history: dict[int, deque[dict]] = defaultdict(lambda: deque(maxlen=2 * MAX_TURNS))
        self.speech = MISSING
        self.model = os.environ.get("OPENAI_MODEL", "gpt-5-mini")

    async def setup_hook(self) -> None:
        # Here, because the clients belong to the running event loop.
        self.speech = aai.AsyncTranscriber(client=aai.AsyncClient(settings=settings()))
        self.chat = AsyncOpenAI()
        owner = self.application.owner if self.application else None
        log.info("application of %s", owner)

    async def on_ready(self) -> None:
        log.info("%s is connected to %d servers", self.user, len(self.guilds))

    async def on_message(self, message: discord.Message) -> None:
        if message.author.bot:
            return
        voice = recording(message)
        if voice is None:
            return
        try:
            async with message.channel.typing():
                answer = await self.answer(message, voice)
            for piece in pieces(answer):
                await message.reply(piece)
        except discord.HTTPException:
            log.exception("Discord did not take the answer to %d", message.id)

    async def answer(self, message: discord.Message, voice: discord.Attachment) -> str:
        """What to say to a voice message, whatever becomes of it."""
        try:
            heard = await self.hear(await voice.read())
        except (aai.types.AssemblyAIError, discord.HTTPException):
            log.exception("could not hear %d", message.id)
            return "I could not listen to that. Please try again."
        if not heard:
            return "I did not hear anything in that."
        try:
            return await self.think(message.channel.id, heard)
        except OpenAIError:
            log.exception("no answer to %d", message.id)
            return f"I heard: {heard}\nBut I have no answer right now. Please try again."

    async def hear(self, sound: bytes) -> str:
        """Uploads, begins a transcription, and asks until it is done."""
        config = aai.TranscriptionConfig(language_detection=True)
        transcript = await self.speech.transcribe(sound, config=config)
        if transcript.status is aai.TranscriptStatus.error:
            raise aai.types.TranscriptError(transcript.error or "no reason given")
        return (transcript.text or "").strip()

    async def think(self, channel: int, heard: str) -> str:
        history = self.history[channel]
        question = {"role": "user", "content": heard}
        completion = await self.chat.chat.completions.create(
            model=self.model,
            messages=[{"role": "system", "content": SYSTEM}, *history, question],
        )
        answer = (completion.choices[0].message.content or "").strip() or "I have no answer."
        history.extend([question, {"role": "assistant", "content": answer}])
        return answer


def main() -> None:
    discord.utils.setup_logging()
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    Bot().run(os.environ["DISCORD_TOKEN"], log_handler=None)


if __name__ == "__main__":
    main()
