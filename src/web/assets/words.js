// Every sentence about a problem that the page itself detects: what happened and what to do.
// The server sends the sentences for its own failures.

export const otherWays = 'Files and typing still work.';

export const insecure =
  'Browsers only allow the microphone at https addresses and localhost. Open this page there to talk. ' + otherWays;
export const noRecorder = 'This browser can’t record sound. Use a newer browser to talk. ' + otherWays;
export const tooShort = 'That was too short. Hold the button while you speak.';
export const notReadyYet = 'The microphone is not ready yet. Allow it if the browser asks, then hold the button and speak.';
export const readyNow = 'The microphone is ready. Hold the button and speak.';
export const busy = 'Still working on it. Wait for the answer, or press Stop.';
export const recordingNow = 'Still listening. Finish the recording first, or press Escape to cancel it.';
export const nothingTyped = 'Type a question first.';
export const signedOut = 'You are signed out. Reload the page to sign in, then ask again.';
export const unreachable = 'Talkback can’t be reached. Check that it’s running and that you’re online, then try again.';
export const lostBeforeAnswer = 'The connection was lost before the answer came. Check that Talkback is running, then try again.';
export const lostInAnswer = 'The connection was lost in the middle of the answer. What arrived is above. Try again.';
export const garbled = 'Talkback sent something that this page doesn’t understand. Reload the page.';
export const notCopied = 'The browser doesn’t let this page copy. Select the answer and copy it yourself.';
export const folder = 'That can’t be read. Choose one recording, not a folder.';

export function microphone(error) {
  switch (error.name) {
    case 'NotAllowedError':
    case 'SecurityError':
      return 'This page isn’t allowed to use the microphone. Allow it in the browser’s settings for this address, then try again. ' + otherWays;
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'No microphone was found. Connect one, then try again. ' + otherWays;
    case 'NotReadableError':
    case 'AbortError':
      return 'The microphone can’t be opened. Another program may be using it: close that program, then try again. ' + otherWays;
    default:
      return 'The microphone can’t be opened. Check that it works in other programs, then try again. ' + otherWays;
  }
}

export const fileTooLarge = (name, limit) =>
  `${name} is larger than ${size(limit)}, the limit. Choose a shorter recording.`;
export const fileEmpty = (name) => `${name} is empty. Choose another recording.`;
export const longestReached = (seconds) => `Recordings can last up to ${span(seconds)}, so this one was ended and sent.`;

export function refused(status) {
  if (status === 413) return 'The recording is too large for this Talkback. Send a shorter one.';
  if (status === 503) return 'Talkback is busy. Try again in a moment.';
  return `Talkback didn’t accept the question (status ${status}). Reload the page and try again.`;
}

export const seconds = (number) => (number < 0.05 ? 'under 0.1 s' : `${number.toFixed(1)} s`);

export function span(whole) {
  const count = (number, unit) => `${number} ${unit}${number === 1 ? '' : 's'}`;
  if (whole < 120) return count(Math.round(whole), 'second');
  if (whole < 7200) return count(Math.round(whole / 60), 'minute');
  return count(Math.round(whole / 3600), 'hour');
}

function size(bytes) {
  const mebibytes = bytes / 1048576;
  return mebibytes < 1 ? `${Math.round(bytes / 1024)} KiB` : `${Math.round(mebibytes * 10) / 10} MiB`;
}
