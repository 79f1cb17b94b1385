/** A file of somebody else's, held to one content. */
export interface PinnedFile {
  /** Name it gets here. */
  readonly name: string;
  readonly url: string;
  /** Hex, of the whole file. */
  readonly sha256: string;
  readonly about: string;
}

const AEED = 'https://raw.githubusercontent.com/rtaormina/aeed/7851be0ed47fab100bd5a90f5c283cd2dd4fab2f/data';
const EPANET_CPA = 'https://raw.githubusercontent.com/rtaormina/epanetCPA/5329bea8bf24f38939a2e774e5179c0ae27409f4';

/** BATADAL and the C-Town network where their authors published them, pinned by commit and content. */
export const BATADAL_FILES: readonly PinnedFile[] = [
  {
    name: 'BATADAL_dataset03.csv',
    url: `${AEED}/dataset03.csv`,
    sha256: '8ca6cb851242254d2605b5a53ba3ba5009e2213a545d65396615f1ce0b426e1b',
    about: 'a year of hourly rows without attacks',
  },
  {
    name: 'BATADAL_dataset04.csv',
    url: `${AEED}/dataset04.csv`,
    sha256: 'a12c30bdd0d40de7f44a73d1cb17e9e4093d437eb97ca55feeb10eb76d16ed74',
    about: 'half a year with 7 attacks, fully labelled',
  },
  {
    name: 'BATADAL_test_dataset.csv',
    url: `${AEED}/test_dataset.csv`,
    sha256: '3dbe7914e83b1229533623fc36a5c38b87daa80537f720aedf96843128f0a5a7',
    about: "the competition's test set",
  },
  {
    name: 'ctown.inp',
    url: `${EPANET_CPA}/ctown_map.inp`,
    sha256: '1f190279f9cc150549b0f870db732f1e6092a919a7a0b9c8b2082336d906b96a',
    about: 'the C-Town network for EPANET',
  },
];

/** Printed with every download: whose data this is. */
export const LICENCE_NOTICE = `These files are not part of Twinwatch and keep their authors' terms:
  BATADAL data sets: Taormina et al., "Battle of the Attack Detection Algorithms", J. Water Resour. Plann. Manage. 144(8), 2018;
    published by the organisers (github.com/rtaormina/aeed), content under CC BY 4.0.
  C-Town network: Ostfeld et al., "Battle of the Water Calibration Networks", J. Water Resour. Plann. Manage. 138(5), 2012;
    published with epanetCPA (github.com/rtaormina/epanetCPA), MIT licence.
Please cite them where you publish results.`;
