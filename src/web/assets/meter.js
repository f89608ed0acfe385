// The grille of the talk button: rings of dots that light up with the voice.

const RINGS = [5, 6, 7, 8, 9];
const FAINT = 0.28;

export class Meter {
  #button;
  #canvas;
  #frame = 0;
  #shown = 0;
  #still = matchMedia('(prefers-reduced-motion: reduce)');

  constructor(button) {
    this.#button = button;
    this.#canvas = button.querySelector('canvas');
    const redraw = () => this.#draw(() => FAINT);
    new ResizeObserver(redraw).observe(button);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  }

  /** The dots light up from the middle outwards, as far as the voice is loud. */
  follow(level) {
    this.#run(() => {
      const now = level();
      // Quick to rise and slow to fall, as meters are.
      this.#shown = now > this.#shown ? now : this.#shown * 0.9 + now * 0.1;
      this.#button.style.setProperty('--level', this.#shown.toFixed(3));
      const reached = this.#shown * RINGS.length;
      this.#draw((ring) => FAINT + (1 - FAINT) * Math.min(1, Math.max(0, reached - ring)));
    });
  }

  /** A light goes round while others work. */
  wander() {
    if (this.#still.matches) return this.rest(0.6);
    this.#run((milliseconds) => {
      const head = (milliseconds / 1800) % 1;
      this.#draw((_, turn) => FAINT + (1 - FAINT) * (1 - ((head - turn + 2) % 1)) ** 3);
    });
  }

  rest(light = FAINT) {
    cancelAnimationFrame(this.#frame);
    this.#shown = 0;
    this.#button.style.setProperty('--level', 0);
    this.#draw(() => light);
  }

  #run(step) {
    cancelAnimationFrame(this.#frame);
    const next = (milliseconds) => {
      this.#frame = requestAnimationFrame(next);
      step(milliseconds);
    };
    this.#frame = requestAnimationFrame(next);
  }

  #draw(light) {
    const canvas = this.#canvas;
    const size = Math.round(this.#button.clientWidth * (devicePixelRatio || 1));
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
