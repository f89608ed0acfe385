// Input for the talk button: hold and release, click and click again, Space, Enter.
// Independent of the microphone: `talk` has phase(), start(), latch(), finish(), cancel() and busy().
// latch() means that the button is released and recording continues until the next press.

// A press shorter than this is a click: the first starts a recording, the second stops it.
const CLICK_MS = 350;
const CLICK_AFTER_POINTER_MS = 700;

export function listenForTalk(button, talk) {
  // When the current hold began; null without a hold or during a second click.
  let heldSince = null;
  let spaceIsDown = false;
  let pointerUpAt = -Infinity;

  const press = () => {
    const phase = talk.phase();
    heldSince = null;
    if (phase === 'idle') {
      heldSince = performance.now();
      talk.start();
    } else if (phase === 'working') talk.busy();
    else talk.finish();
  };
  const release = () => {
    if (heldSince === null) return;
    const wasHold = performance.now() - heldSince >= CLICK_MS;
    heldSince = null;
    if (wasHold) talk.finish();
    else talk.latch();
  };
  // The release will not be seen, so the hold ends here. A recording started by a click continues.
  const loseHold = () => {
    if (heldSince !== null) talk.finish();
    heldSince = null;
    spaceIsDown = false;
  };

  button.addEventListener('pointerdown', (event) => {
    if (!event.isPrimary || event.button !== 0) return;
    button.setPointerCapture(event.pointerId);
    press();
  });
  button.addEventListener('pointerup', (event) => {
    if (!event.isPrimary) return;
    pointerUpAt = performance.now();
    release();
  });
  button.addEventListener('pointercancel', (event) => event.isPrimary && loseHold());
  // Enter and screen readers click without a pointer; a click after a pointer event is not a second press.
  button.addEventListener('click', (event) => {
    if (event.detail > 0 && performance.now() - pointerUpAt < CLICK_AFTER_POINTER_MS) return;
    press();
    if (heldSince !== null) talk.latch();
    heldSince = null;
  });
  // A long touch would open a menu.
  button.addEventListener('contextmenu', (event) => event.preventDefault());

  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && (talk.phase() === 'recording' || talk.phase() === 'asking-microphone')) {
      heldSince = null;
      talk.cancel();
    }
    if (event.target === button && event.key === 'Enter' && event.repeat) event.preventDefault();
    if (event.code !== 'Space' || event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    if (spaceIsDown) return event.preventDefault();
    if (takesSpace(event.target) || event.repeat) return;
    event.preventDefault();
    spaceIsDown = true;
    press();
  });
  document.addEventListener('keyup', (event) => {
    if (event.code !== 'Space' || !spaceIsDown) return;
    // Firefox clicks a focused button when Space is released.
    event.preventDefault();
    spaceIsDown = false;
    release();
  });

  window.addEventListener('blur', loseHold);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) return;
    loseHold();
    if (talk.phase() === 'recording') talk.finish();
  });

  // Other controls and text fields use Space themselves.
  const takesSpace = (target) =>
    target !== button && target.closest?.('input, textarea, select, button, a[href], summary, [contenteditable]');

  // After a mouse click, Space should not press the same button again.
  document.addEventListener('click', (event) => {
    if (event.pointerType === 'mouse') event.target.closest('button')?.blur();
  });
}
