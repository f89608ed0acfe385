// Joins a call of the sandbox as an invited person and plays an Ogg Opus file.
//
// The main gateway is not asked: what it would say is in the invitation.
import { createReadStream } from 'node:fs';
import {
  AudioPlayerStatus,
  StreamType,
  VoiceConnectionStatus,
  createAudioPlayer,
  createAudioResource,
  entersState,
  joinVoiceChannel,
} from '@discordjs/voice';

const WAIT = 15_000;

const [invitation, file] = process.argv.slice(2);
if (!file) {
  console.error('usage: node talk.mjs INVITATION FILE.ogg');
  process.exit(2);
}
const { endpoint, token, session_id, user_id, guild_id, channel_id } = JSON.parse(invitation);

const connection = joinVoiceChannel({
  channelId: channel_id,
  guildId: guild_id,
  selfDeaf: false,
  debug: Boolean(process.env.DEBUG),
  adapterCreator: (methods) => ({
    destroy() {},
    sendPayload({ d }) {
      if (d.channel_id) {
        setImmediate(() => {
          methods.onVoiceStateUpdate({ session_id, user_id, guild_id, channel_id });
          methods.onVoiceServerUpdate({ token, guild_id, endpoint });
        });
      }
      return true;
    },
  }),
});
connection.on('error', (error) => console.error(error));
if (process.env.DEBUG) {
  connection.on('debug', (message) => console.error(message));
}
await entersState(connection, VoiceConnectionStatus.Ready, WAIT);

// Until the group has let this client in, its packets are for nobody.
const { networking } = connection.state;
const inGroup = () => networking.state.dave?.session?.ready ?? true;
for (let waited = 0; !inGroup() && waited < WAIT; waited += 50) {
  await new Promise((resolve) => setTimeout(resolve, 50));
}
console.log('ready');

const player = createAudioPlayer();
connection.subscribe(player);
player.play(createAudioResource(createReadStream(file), { inputType: StreamType.OggOpus }));
await entersState(player, AudioPlayerStatus.Playing, WAIT);
await new Promise((resolve) => player.once(AudioPlayerStatus.Idle, resolve));
console.log('done');
connection.destroy();
process.exit(0);
