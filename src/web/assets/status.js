// The bot's status page: shows /status.json as tables, every 2 s.

const EVERY_MS = 2000;
const find = (id) => document.getElementById(id);
// Writes only what has changed, so that a text selection survives updates.
const write = (node, text) => node.textContent !== text && (node.textContent = text);

const TABLES = [
  {
    title: 'Providers',
    caption: 'Who listens and who answers.',
    empty: 'No provider is set up.',
    columns: ['Provider', 'State', 'Why'],
    rows: (data) => data.providers.map((one) => [one.name, one.state, one.why ?? '']),
  },
  {
    title: 'Stages',
    caption: 'How long each step takes: for half of the jobs, and for 95 of 100.',
    empty: 'Nothing has been done yet.',
    columns: ['Stage', 'Count #', 'Half within #', '95 % within #'],
    rows: (data) => data.stages.map((one) => [one.stage, `${one.count}`, seconds(one.half_seconds), seconds(one.most_seconds)]),
  },
  {
    title: 'Voice sessions',
    caption: 'One row for each person, by id.',
    empty: 'No voice session.',
    columns: ['Session', 'Server', 'Channel', 'For #', 'Person', 'Heard #', 'Lost #'],
    rows: (data) => data.sessions.flatMap(sessionRows),
  },
  {
    title: 'Outcomes',
    caption: 'The latest jobs, and how they ended.',
    empty: 'No job has ended yet.',
    columns: ['Job', 'Outcome', 'At', 'Took #'],
    rows: (data) => data.outcomes.map((one) => [`${one.job}`, one.outcome, moment(one.at_ms), seconds(one.took_seconds)]),
  },
];
// The color that marks a state, besides its name.
const GOOD = { works: 'yes', done: 'yes', down: 'no', failed: 'no', untried: '', cancelled: '' };

let lastGood = null;
let timer = 0;

async function look() {
  clearTimeout(timer);
  try {
    const response = await fetch('/status.json', { cache: 'no-store', signal: AbortSignal.timeout?.(10_000) });
    if (response.status === 401) return trouble('You are signed out. Reload the page to sign in.');
    if (!response.ok) throw new Error(`status ${response.status}`);
    show(await response.json());
    lastGood = new Date();
    trouble('');
    write(find('freshness'), `As of ${lastGood.toLocaleTimeString()}.`);
  } catch {
    trouble('Talkback isn’t answering. Check that it’s still running; this page keeps trying. '
      + (lastGood ? `What’s below is from ${lastGood.toLocaleTimeString()}.` : 'There is no data yet.'));
  }
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(look, EVERY_MS);
}

function trouble(sentence) {
  write(find('trouble'), sentence);
  find('trouble').classList.toggle('failure', sentence !== '');
}

function show(data) {
  write(find('title'), `${data.name ?? 'Talkback'}, status`);
  const { gateway, queue, today } = data;
  const tiles = {
    gateway: `${gateway.up} of ${gateway.shards} up`,
    servers: `${lost(gateway.away ?? [])}Servers: ${gateway.servers ?? 'not known yet'}. Version ${data.version}, up for ${span(data.up_seconds)}.`,
    running: `${queue.running} running`,
    waiting: `${queue.waiting} waiting`,
    audio: `${number(today.audio_minutes)} minutes`,
    'audio-limit': today.audio_limit_minutes === null ? 'No limit is set.' : `of ${number(today.audio_limit_minutes)} a day`,
    cost: today.cost.toFixed(2),
    'cost-limit': (today.cost_limit === null ? 'No limit is set' : `of ${today.cost_limit.toFixed(2)} a day`) + `, ${today.currency_note}.`,
  };
  for (const [id, text] of Object.entries(tiles)) write(find(id), text);
  find('gateway').dataset.good = gateway.up === gateway.shards ? 'yes' : 'no';
  for (const table of TABLES) fill(table, table.rows(data));
}

// Shards without a connection, at most a few.
function lost(away) {
  return away.slice(0, 3).map((one) => `Shard ${one.shard} has had no connection for ${span(one.seconds)}; `
    + `${one.tries} tries, the next in ${span(one.next_seconds)}. `).join('');
}

function build(table, place) {
  const id = table.title.toLowerCase().replace(' ', '-');
  const section = make('section', place);
  if (table.columns.length > 4) section.className = 'wide';
  const heading = make('h2', section, table.title);
  heading.id = id;
  table.sentence = make('p', section, table.empty);
  table.sentence.className = 'soft';
  table.scroller = make('div', section);
  // Scrolls sideways on a narrow screen, by keyboard too.
  Object.assign(table.scroller, { className: 'scroller', tabIndex: 0, role: 'region', hidden: true });
  table.scroller.setAttribute('aria-labelledby', id);
  const grid = make('table', table.scroller);
  make('caption', grid, table.caption);
  const head = make('tr', make('thead', grid));
  table.columns = table.columns.map((name) => {
    const cell = make('th', head, name.replace(' #', ''));
    cell.scope = 'col';
    return (cell.className = name.endsWith('#') ? 'number' : '');
  });
  table.body = make('tbody', grid);
}

function fill({ columns, sentence, scroller, body }, rows) {
  sentence.hidden = rows.length > 0;
  scroller.hidden = rows.length === 0;
  while (body.rows.length > rows.length) body.lastElementChild.remove();
  rows.forEach((texts, index) => {
    const row = body.rows[index] ?? make('tr', body);
    texts.forEach((text, column) => {
      let cell = row.children[column];
      if (!cell) {
        cell = make(column ? 'td' : 'th', row);
        if (!column) cell.scope = 'row';
        cell.className = columns[column];
      }
      write(cell, text);
      if (text in GOOD) cell.dataset.good = GOOD[text];
      else delete cell.dataset.good;
    });
  });
}

function sessionRows({ id, server, channel, seconds: lasting, people }) {
  const session = [`${id}`, server, channel, span(lasting)];
  if (!people.length) return [[...session, 'nobody yet', '', '']];
  return people.map((one) => [...session, one.id, seconds(one.heard_seconds), seconds(one.lost_seconds)]);
}

function make(name, parent, text = '') {
  const node = document.createElement(name);
  node.textContent = text;
  parent.append(node);
  return node;
}

const number = (value) => value.toLocaleString('en', { maximumFractionDigits: 1 });
const seconds = (value) => (value === null ? '–' : value > 0 && value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`);

function span(whole) {
  const [days, hours, minutes] = [whole / 86400, (whole / 3600) % 24, (whole / 60) % 60].map(Math.floor);
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${Math.floor(whole % 60)} s` : `${Math.floor(whole)} s`;
}

function moment(milliseconds) {
  const at = new Date(milliseconds);
  return at.toDateString() === new Date().toDateString() ? at.toLocaleTimeString() : at.toLocaleString();
}

document.addEventListener('visibilitychange', () => {
  clearTimeout(timer);
  if (!document.hidden) look();
});
for (const table of TABLES) build(table, find('tables'));
look();
