// The level meter in the talk button: rings of dots that light up with the voice.

const RINGS = [5, 6, 7, 8, 9];
const FAINT = 0.28;
// Short work shows no animation, and gets the whole machine.
const WANDER_AFTER_MS = 400;
const WANDER_EVERY_MS = 60;

export class Meter {
  #button;
  #canvas;
  #size = 0;
  #frame = 0;
  #timer = 0;
  #shown = 0;
  #still = matchMedia('(prefers-reduced-motion: reduce)');

  constructor(button) {
    this.#button = button;
    this.#canvas = button.querySelector('canvas');
    new ResizeObserver(([{ contentRect }]) => {
      this.#size = Math.round(contentRect.width * (devicePixelRatio || 1));
      this.#draw(() => FAINT);
    }).observe(button);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.rest());
  }

  /** Lights the dots from the middle outwards, up to the level of the voice. */
  follow(level) {
    this.#run(() => {
      const now = level();
      // Fast attack, slow release.
      this.#shown = now > this.#shown ? now : this.#shown * 0.9 + now * 0.1;
      this.#button.style.setProperty('--level', this.#shown.toFixed(3));
      const reached = this.#shown * RINGS.length;
      this.#draw((ring) => FAINT + (1 - FAINT) * Math.min(1, Math.max(0, reached - ring)));
    });
  }

  /** A light circles while the server works. */
  wander() {
    this.rest(this.#still.matches ? 0.6 : FAINT);
    if (this.#still.matches) return;
    this.#timer = setTimeout(() => this.#run(() => {
      const head = (performance.now() / 1800) % 1;
      this.#draw((_, turn) => FAINT + (1 - FAINT) * (1 - ((head - turn + 2) % 1)) ** 3);
    }, WANDER_EVERY_MS), WANDER_AFTER_MS);
  }

  /** All dots alike. Drawn in the next frame, so that the caller is not delayed. */
  rest(light = FAINT) {
    this.#halt();
    this.#shown = 0;
    this.#button.style.setProperty('--level', 0);
    this.#frame = requestAnimationFrame(() => this.#draw(() => light));
  }

  #halt() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
  }

  #run(step, pause = 0) {
    this.#halt();
    const next = () => {
      step();
      if (pause) this.#timer = setTimeout(ahead, pause);
      else ahead();
    };
    const ahead = () => (this.#frame = requestAnimationFrame(next));
    ahead();
  }

  #draw(light) {
    const canvas = this.#canvas;
    const size = this.#size;
    if (!size) return;
    if (canvas.width !== size) canvas.width = canvas.height = size;
    const pen = canvas.getContext('2d');
    pen.clearRect(0, 0, size, size);
    pen.fillStyle = getComputedStyle(this.#button).color;
    const step = size / 2 / (RINGS.at(-1) + 1.6);
    RINGS.forEach((radius, ring) => {
      const dots = radius * 6;
      for (let dot = 0; dot < dots; dot++) {
        const turn = dot / dots;
        const angle = turn * 2 * Math.PI - Math.PI / 2;
        pen.globalAlpha = light(ring, turn);
        pen.beginPath();
        pen.arc(size / 2 + Math.cos(angle) * radius * step, size / 2 + Math.sin(angle) * radius * step, step * 0.27, 0, 7);
        pen.fill();
      }
    });
  }
}
