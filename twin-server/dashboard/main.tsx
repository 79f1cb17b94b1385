import { createRoot } from 'react-dom/client';
import 'uplot/dist/uPlot.min.css';
import './page.css';
import './parts/alarms.css';
import './parts/fleet.css';
import './parts/header.css';
import './parts/login.css';
import './parts/rounds.css';
import './parts/site.css';
import { Door } from './door.js';

createRoot(document.getElementById('page')!).render(<Door />);
