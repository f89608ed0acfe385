// Hands on the talk button: hold and let go, click and click, Space, Enter.
// Knows nothing of microphones: `talk` has phase(), start(), latch(), finish(), cancel() and busy();
// latch() says that nothing is held any more, and that it goes on until the next press.

// A press shorter than this is a click, which starts, and a second one stops.
const CLICK_MS = 350;
const CLICK_AFTER_POINTER_MS = 700;

export function listenForTalk(button, talk) {
  // When the press began that is still held; null when nothing is held, or only a second click is.
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
  // The release will never be seen, so the hold ends here. A click-to-start goes on.
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
  // Enter and screen readers click without a pointer; the click after a pointer is no second press.
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
    // Firefox clicks a focused button when Space comes up.
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

  // Other controls and text fields have their own use for Space.
  const takesSpace = (target) =>
    target !== button && target.closest?.('input, textarea, select, button, a[href], summary, [contenteditable]');

  // After a click by mouse nobody expects Space to press that same button again.
  document.addEventListener('click', (event) => {
    if (event.pointerType === 'mouse') event.target.closest('button')?.blur();
  });
}
