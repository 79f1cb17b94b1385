/**
 * The one error family of the product. A message says what was wrong, where, and what to do;
 * the code is stable, prefixed by its layer, listed in ERROR_CODES and explained in docs/errors.md.
 */

/** Every code with the one-line meaning that docs/errors.md repeats. Codes are never reused. */
export const ERROR_CODES = {
  CONFIG_INVALID: 'A configuration file has one or more wrong fields; all are listed with line and path',
  CONFIG_UNREADABLE: 'A configuration file cannot be read or is not YAML',
  FETCH_UNREACHABLE: 'A publisher of data cannot be reached, or the download broke off',
  FETCH_REFUSED: 'A publisher answered a download with an error',
  FETCH_MISMATCH:
    'A downloaded file, or one already there under its name, is not the file that is pinned; it is not used',
  FEATURES_UNKNOWN_TAG: 'A feature names a tag, or a pattern of tags, that is not there',
  FEATURES_ROW_SHAPE: 'A row has another number of values than there are tags',
  FEATURES_MOMENTS: 'Moments or a scaler do not fit the features, or cannot come from any rows',
  CALIBRATION_MISMATCH: 'Calibration profiles that sites sent do not fit each other or the plant, or there are none',
  LEARNING_SHAPE: 'Parameters, rows or labels do not fit the network',
  LEARNING_NOT_FINITE: 'Parameters or the loss of a training are not finite numbers',
  LEARNING_REQUEST: 'A training was asked for with rows or settings that cannot be learnt from',
  TRAINING_ENGINE_UNAVAILABLE: 'The training engine that was asked for cannot run on this machine',
  TRAINING_WORKER_FAILED: 'The thread that trains ended with an error; what it was doing is lost',
  TRAINING_CLOSED: 'The training engine was closed while or before it was asked for something',
  ONNX_MALFORMED: 'Bytes are not an ONNX file with the metadata of a detector',
  ONNX_INVALID: 'A network cannot be written as an ONNX file: scaler, parameters and architecture do not fit together',
  EVALUATION_SHAPE: 'Scores and labels are not of the same length, or there is nothing to evaluate',
  SCADA_NOT_ENCODABLE: 'A number cannot be written as the register type that is asked for',
  WIRE_EXCHANGE_INVALID: 'The blob of twin rows that agents mix into their own cannot be read',
  JOURNAL_UNREADABLE: "The server's journal cannot be opened, or another server has it open",
  JOURNAL_BLOB_MISSING: "The server's journal lacks a blob that the round needs",
  ROUND_NOT_AGGREGATED: 'The accepted updates of a round have no weighted mean; the round is collected anew',
  ROUND_OUT_OF_STEP: "The server's journalled state does not fit the step it is to perform",
  LINEAGE_MISMATCH: 'Tags, features or moments that were sent do not belong to the schema of this federation',
  EXPERIMENT_NO_TEST_FILE: 'An experiment is to be judged on a file that was not named',
  EXPERIMENT_NO_ROWS: 'No client of an experiment has a row to learn from, or none is left to judge on',
  EXPERIMENT_WORKER_FAILED: 'A process that runs an experiment ended with an error',
  LEARNER_NO_ATTACKS: 'The twin rows hold no attack, or no normal row, to learn from or to validate on',
  RELEASE_ONNX_DIFFERS:
    'The exported ONNX file gives other scores than the network it was made from; it is not released',
  API_LOGIN_REQUIRED: 'The server has operators, and the request comes from nobody who is logged in',
  API_LOGIN_REFUSED: 'Name or password are wrong, or there were too many wrong ones before',
  API_NOT_ALLOWED: 'An operator who may only look asks for a change',
  API_TOO_MANY_REQUESTS: 'One address has sent more requests in a minute than the server takes',
  API_CROSS_SITE:
    'A request to change something came without what a page of another site cannot send; nothing was done',
  API_REQUEST_INVALID: 'A request to change something has missing or wrong fields; they are named',
  API_UNKNOWN_ALARM: 'A decision is about an alarm that the server has not heard of',
  API_UNKNOWN_AGENT: 'A label, or the lifting of a quarantine, is for an agent that the server has not heard of',
  API_UNKNOWN_MODEL: 'There is no model of that version, or its file is not kept any more',
  API_UNKNOWN_DECISION: 'There is no decision of that command id',
  API_COMMAND_REUSED: 'A command id was used before, for something else',
  API_TOO_MANY_WAITING: 'More decisions wait for an agent than are kept',
  API_PORT_BUSY: 'The HTTP port of the server is taken by another process',
  WIRE_TOPIC_INVALID: 'A federation or agent name cannot be part of a topic',
  WIRE_TOO_LARGE: 'A message or transfer is above its size limit',
  WIRE_MALFORMED: 'Bytes off the wire are not a message of this protocol',
  WIRE_PROTOCOL: 'The other end speaks another protocol version',
  WIRE_UNKNOWN_KIND: 'A message has a kind this release does not know',
  WIRE_INVALID: 'A message has missing or wrong fields; they are named',
  WIRE_DELTA_SHAPE: 'An encoded parameter difference does not fit the network',
  WIRE_DELTA_NOT_FINITE: 'A parameter difference holds NaN or infinity',
  WIRE_CHUNK_INVALID: 'A chunk contradicts itself or the other chunks of its transfer',
  WIRE_TRANSFER_CORRUPT: 'A transfer arrived complete, but its hash is another',
  WIRE_TRANSFER_LIMIT: 'Too many or too large transfers are incomplete at once',
  WIRE_UNSIGNED: 'A message carries no signature in a federation where everything is signed; it is ignored',
  WIRE_KEY_UNKNOWN: 'A message is signed with a key that its sender was not enrolled with; it is ignored',
  WIRE_KEY_REVOKED: 'A message is signed with a key that was revoked; it is ignored',
  WIRE_SIGNATURE_INVALID:
    'A message was changed, or was signed for another topic or federation than it came on; it is ignored',
  WIRE_REPLAYED: 'A message is older than one of its sender that was taken before; it is ignored',
  WIRE_FOREIGN: 'A message says that it belongs to another federation; it is ignored',
  WIRE_WRONG_TOPIC: 'A message came on a topic where its sender or its kind does not belong; it is ignored',
  MODEL_DOWNGRADE:
    'A manifest is older than one that the agent has taken, or names an older model without saying so; it is ignored',
  WIRE_OFFLINE: 'There is no connection to the broker now',
  WIRE_QUEUE_FULL: 'More messages wait to be sent than are kept; the caller keeps its own',
  WIRE_PUBLISH_TIMEOUT: 'The broker did not acknowledge a message in time',
  WIRE_PUBLISH_FAILED: 'The MQTT client refused a message',
  WIRE_STOPPED: 'The link was stopped',
  BACKUP_FAILED: 'A backup of the server could not be made, or not be put back',
  BROKER_UNREACHABLE: 'A broker that is to be checked cannot be reached, or does not let its user in',
  BROKER_PORT_BUSY: 'The port of the broker is in use by another process',
  BROKER_LISTEN_FAILED: 'The broker cannot listen on its address',
  BROKER_STORE_LOCKED: 'Another process uses the data directory of the broker',
  BROKER_STORE_FAILED: 'The data directory of the broker cannot be opened',
  SECURITY_FILE_UNREADABLE: 'A file with keys, certificates or records of agents cannot be read',
  SECURITY_FILE_INVALID:
    'A file with keys, certificates or records of agents has missing or wrong fields; they are named',
  SECURITY_REQUEST_INVALID: 'A request for a certificate cannot be read, or is not signed with the key that it is for',
  SECURITY_EXISTS: 'Something that a command would make is there already; nothing was written over',
  SECURITY_UNKNOWN_AGENT: 'No agent of that name was ever enrolled in this federation',
  SECURITY_IN_USE: 'Another command is changing the directory of the federation',
  SECURITY_TOKEN_INVALID: 'A join token is not one, was used, has expired, or was not made by this federation',
  SECURITY_ENROLMENT_FAILED:
    'The enrolment service cannot be reached, is not the one that was expected, or refused a request',
  SECURITY_AUTHORITY_NEEDED: 'An authority is to be retired while certificates that it has signed are still in use',
  SECURITY_KEY_INVALID: 'A signing key is not an Ed25519 key, or not the one that belongs there',
  CLI_USAGE: 'The command line is wrong: an unknown command, option or value',
  CLI_SERVER_UNREACHABLE: 'The twin-server does not answer at the address that the command was given',
  CLI_SERVER_REFUSED: 'The twin-server refused what the command asked for; its own code and reason are in the message',
  CLI_IMPORT_UNREADABLE: 'A configuration of another program cannot be read as what it was said to be',
  CLI_FILE_EXISTS: 'A command would write over a file that is there',
  CLI_DATA_DIR_IN_USE: 'Another demonstration runs in the same data directory',
  CLI_DATA_DIR_UNUSABLE: 'The data directory of the demonstration cannot be made',
  CLI_PORT_TAKEN: 'A port that the demonstration or the field trial was told to use is taken by another process',
  PLANT_PORT_TAKEN: 'A port that a simulated PLC should listen on is taken by another process',
  PLANT_NOT_LISTENING: 'A simulated PLC cannot listen on its host and port',
  PLANT_UNKNOWN_ATTACK: 'An attack is asked for that the catalogue does not have, or for a site that is not there',
  PLANT_TAG_UNSERVED: 'A PLC template names a tag that the plant or the feed does not have',
  FEED_INVALID: 'A recorded feed or history lacks columns, or holds values that are not numbers or times',
  DEMO_FAILED: 'The demonstration did not show what it should; the message says which part',
  PROCESS_CRASHED: 'A child process keeps ending; its log says why',
  TRIAL_FOLDER_FOREIGN: 'A field trial would have to empty a folder that it did not make',
  TRIAL_FAILED: 'The field trial could not be completed; the message says at which step',
  PLANT_NETWORK_INVALID: 'EPANET rejects the network file, or finds nothing in it',
  PLANT_MISMATCH: 'The plant file names elements or patterns which the network file does not have',
  PLANT_ATTACK_INVALID:
    'An attack names tags, actuators or links which the plant does not have, or times that cannot be',
  PLANT_HYDRAULICS_FAILED: 'EPANET could not solve the network at one instant of a simulation',
  PLANT_DEMAND_UNSEEN: 'No part of the network has a water balance that the tags measure, so demands cannot be fitted',
  ATTACKS_CPA_INVALID:
    'An epanetCPA file has lines that are no attack of the plant, or that cannot be said in a catalogue; all are named',
  TWIN_CSV_INVALID: 'A file of simulated rows lacks columns, or holds values that cannot be read',
  TWIN_WORKER_FAILED: 'The thread that simulates the twin ended with an error',
  MODBUS_UNREACHABLE: 'A bus or device cannot be connected to, or its port cannot be opened',
  MODBUS_DISCONNECTED: 'The connection to a bus was lost, or is waiting before its next attempt',
  MODBUS_TIMEOUT: 'A unit did not answer within its deadline',
  MODBUS_EXCEPTION: 'A unit refused a read with a Modbus exception',
  MODBUS_MALFORMED: 'A unit answered with bytes that are not the answer to the request',
  MODBUS_OUT_OF_STEP: 'A unit on a serial line still owes an older answer, so its next one is not believed yet',
  MODBUS_UNSTEADY: 'A device goes on to its next scan faster than it can be read',
  STORE_FAILED: 'The agent cannot read or write its database',
  STORE_LOCKED: 'Another agent, or an import, has the data directory open',
  STORE_CLOSED: "Something was asked of the agent's store after it was closed",
  DETECTOR_REFUSED: 'A model was not taken into use; the one before stays',
  IMPORT_INVALID: 'A history file lacks columns or holds dates that cannot be read',
  AGENT_BLOB_FAILED: 'A blob from the server did not arrive whole within its time',
  AGENT_NOT_READY: 'The agent cannot do a task yet; the message says what is missing',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface ErrorDetails {
  /** Facts that help to find the place: file, line, tag, address, agent, round. */
  readonly context?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
  /** True where the same call may succeed later without anybody changing anything. */
  readonly retryable?: boolean;
}

export class TwinwatchError extends Error {
  readonly code: ErrorCode;
  readonly context: Readonly<Record<string, unknown>>;
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'TwinwatchError';
    this.code = code;
    this.context = details.context ?? {};
    this.retryable = details.retryable ?? false;
  }
}
