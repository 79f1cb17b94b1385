import { describe, expect, it } from 'vitest';
import { SentEvents } from './sent-events.js';

describe('sent events', () => {
  it('go again after pauses that double, news before their turn, and those that failed at once', () => {
    const sent = new SentEvents();
    const first = sent.begin('a', 'replay', 0);
    expect(sent.begin('a', 'replay', 99_000)).toBeNull();
    const news = sent.begin('a', 'alarm', 99_000);
    expect(news).not.toBeNull();
    first?.failed();
    news?.acknowledged(100_000);
    expect(sent.begin('a', 'alarm', 109_999)).toBeNull();
    sent.begin('a', 'replay', 110_000)?.acknowledged(110_000);
    expect(sent.begin('a', 'replay', 129_999)).toBeNull();
    sent.begin('a', 'replay', 130_000)?.failed();
    expect(sent.begin('a', 'replay', 130_000)).not.toBeNull();
  });

  it('are forgotten where nobody asks for them any more, and kept while they are on their way or about to go again', () => {
    const sent = new SentEvents();
    expect(sent.begin('on its way', 'replay', 0)).not.toBeNull();
    // One a second for two days, none of which ever gets a receipt.
    const seconds = 2 * 86_400;
    let most = 0;
    for (let second = 1; second <= seconds; second++) {
      sent.begin(`event ${second}`, 'alarm', second * 1000)?.acknowledged(second * 1000);
      most = Math.max(most, sent.size);
    }
    expect(most).toBeLessThan(130);
    expect(sent.begin('on its way', 'replay', seconds * 1000)).toBeNull();
    expect(sent.begin(`event ${seconds - 2}`, 'replay', seconds * 1000)).toBeNull();
  });
});
