//! The key prefix of every map, in one list.
//!
//! Append only: a number is never reused and never changes its meaning, because data directories outlive
//! releases.

use mayfly_store::Space;

pub(crate) const META: Space = Space(1);

pub(crate) const FABRIC_READY: Space = Space(10);
pub(crate) const FABRIC_FLIGHT: Space = Space(11);
pub(crate) const FABRIC_DEAD: Space = Space(12);

pub(crate) const LAMBDA_FUNCTIONS: Space = Space(20);
pub(crate) const LAMBDA_VERSIONS: Space = Space(21);
pub(crate) const LAMBDA_ALIASES: Space = Space(22);
pub(crate) const LAMBDA_POLICIES: Space = Space(23);
pub(crate) const LAMBDA_URLS: Space = Space(24);
pub(crate) const LAMBDA_URL_IDS: Space = Space(25);
pub(crate) const LAMBDA_LAYERS: Space = Space(26);
pub(crate) const LAMBDA_ASYNC: Space = Space(27);
pub(crate) const LAMBDA_LAYER_HEADS: Space = Space(28);
pub(crate) const LAMBDA_TAGS: Space = Space(29);
pub(crate) const LAMBDA_LAYER_POLICIES: Space = Space(30);
pub(crate) const LAMBDA_USAGE: Space = Space(31);
pub(crate) const LAMBDA_PROVISIONED: Space = Space(32);
pub(crate) const LAMBDA_STANDING: Space = Space(33);
pub(crate) const LAMBDA_MAPPINGS: Space = Space(34);
pub(crate) const LAMBDA_MAPPINGS_OF_FUNCTION: Space = Space(35);
pub(crate) const LAMBDA_MAPPINGS_OF_SOURCE: Space = Space(36);
pub(crate) const LAMBDA_MAPPING_CURSORS: Space = Space(37);
pub(crate) const LAMBDA_MAPPING_RESULTS: Space = Space(38);
pub(crate) const LAMBDA_COUNTS: Space = Space(39);

pub(crate) const S3_BUCKETS: Space = Space(40);
pub(crate) const S3_BUCKET_CONFIG: Space = Space(41);
pub(crate) const S3_OBJECTS: Space = Space(42);
pub(crate) const S3_VERSIONS: Space = Space(43);
pub(crate) const S3_UPLOADS: Space = Space(44);
pub(crate) const S3_PARTS: Space = Space(45);
pub(crate) const S3_BODIES: Space = Space(46);
pub(crate) const S3_BUCKETS_OWNED: Space = Space(47);
pub(crate) const S3_NULL_VERSIONS: Space = Space(48);

pub(crate) const APIGATEWAY_APIS: Space = Space(60);
pub(crate) const APIGATEWAY_ROUTES: Space = Space(61);
pub(crate) const APIGATEWAY_INTEGRATIONS: Space = Space(62);
pub(crate) const APIGATEWAY_STAGES: Space = Space(63);
pub(crate) const APIGATEWAY_DEPLOYMENTS: Space = Space(64);
pub(crate) const APIGATEWAY_OWNED: Space = Space(65);

pub(crate) const LOGS_GROUPS: Space = Space(80);
pub(crate) const LOGS_STREAMS: Space = Space(81);
pub(crate) const LOGS_EVENTS: Space = Space(82);
pub(crate) const LOGS_BY_TIME: Space = Space(83);
pub(crate) const LOGS_SWEEPS: Space = Space(84);
pub(crate) const LOGS_RETAINED: Space = Space(85);

pub(crate) const STACKS: Space = Space(100);

/// Bodies beside the store: which exist and who holds them; and those that wait to be deleted.
pub(crate) const BLOBS: Space = Space(110);
pub(crate) const BLOBS_GARBAGE: Space = Space(111);

pub(crate) const SQS_QUEUES: Space = Space(120);
pub(crate) const SQS_QUEUE_IDS: Space = Space(121);
pub(crate) const SQS_DLQ_SOURCES: Space = Space(122);
pub(crate) const SQS_MESSAGES: Space = Space(123);
pub(crate) const SQS_STATES: Space = Space(124);
pub(crate) const SQS_VISIBLE: Space = Space(125);
pub(crate) const SQS_TAILS: Space = Space(126);
pub(crate) const SQS_HEADS: Space = Space(127);
pub(crate) const SQS_TURNS: Space = Space(128);
pub(crate) const SQS_LINES: Space = Space(129);
pub(crate) const SQS_COUNTS: Space = Space(130);
pub(crate) const SQS_SEEN: Space = Space(131);
pub(crate) const SQS_ATTEMPTS: Space = Space(132);
pub(crate) const SQS_FORGET: Space = Space(133);
pub(crate) const SQS_SWEEPS: Space = Space(134);
pub(crate) const SQS_MOVES: Space = Space(135);

pub(crate) const SNS_TOPICS: Space = Space(140);
pub(crate) const SNS_SUBSCRIPTIONS: Space = Space(141);
pub(crate) const SNS_TAILS: Space = Space(142);
pub(crate) const SNS_SEEN: Space = Space(143);
pub(crate) const SNS_FORGET: Space = Space(144);
pub(crate) const SNS_SIGNING: Space = Space(145);
pub(crate) const SNS_ASKED: Space = Space(146);
pub(crate) const SNS_ENDED: Space = Space(147);

pub(crate) const EVENTS_BUSES: Space = Space(150);
pub(crate) const EVENTS_RULES: Space = Space(151);
pub(crate) const EVENTS_TARGETS: Space = Space(152);
pub(crate) const EVENTS_RULES_BY_TARGET: Space = Space(153);
pub(crate) const EVENTS_TIMERS: Space = Space(154);
pub(crate) const EVENTS_ARCHIVES: Space = Space(155);
pub(crate) const EVENTS_ARCHIVED: Space = Space(156);
pub(crate) const EVENTS_ARCHIVE_COUNTS: Space = Space(157);
pub(crate) const EVENTS_REPLAYS: Space = Space(158);
pub(crate) const EVENTS_SWEEPS: Space = Space(159);
pub(crate) const EVENTS_VERSIONS: Space = Space(160);
pub(crate) const EVENTS_CONNECTIONS: Space = Space(161);
pub(crate) const EVENTS_SECRETS: Space = Space(162);
pub(crate) const EVENTS_DESTINATIONS: Space = Space(163);
pub(crate) const EVENTS_ALARMS: Space = Space(164);

pub(crate) const SCHEDULER_GROUPS: Space = Space(170);
pub(crate) const SCHEDULER_SCHEDULES: Space = Space(171);
pub(crate) const SCHEDULER_SWEEPS: Space = Space(172);

pub(crate) const PIPES: Space = Space(180);
pub(crate) const PIPE_CURSORS: Space = Space(181);
pub(crate) const PIPE_RESULTS: Space = Space(182);

pub(crate) const ECR_REPOSITORIES: Space = Space(240);
pub(crate) const ECR_MANIFESTS: Space = Space(241);
pub(crate) const ECR_TAGS: Space = Space(242);
pub(crate) const ECR_LAYERS: Space = Space(243);
pub(crate) const ECR_UPLOADS: Space = Space(244);

pub(crate) const KEYVALUE_VALUES: Space = Space(250);

pub(crate) const SNS_TEXT_SETTINGS: Space = Space(300);
pub(crate) const SNS_OPTED_OUT: Space = Space(301);
pub(crate) const SNS_OPTED_IN: Space = Space(302);
pub(crate) const SNS_APPLICATIONS: Space = Space(303);
pub(crate) const SNS_DEVICES: Space = Space(304);
pub(crate) const SNS_DEVICE_TOKENS: Space = Space(305);
pub(crate) const SNS_DEVICE_SWEEPS: Space = Space(306);

pub(crate) const CODEDEPLOY_APPLICATIONS: Space = Space(400);
pub(crate) const CODEDEPLOY_GROUPS: Space = Space(401);
pub(crate) const CODEDEPLOY_CONFIGS: Space = Space(402);
pub(crate) const CODEDEPLOY_DEPLOYMENTS: Space = Space(403);
pub(crate) const CODEDEPLOY_HISTORY: Space = Space(404);
pub(crate) const CODEDEPLOY_RUNNING: Space = Space(405);

pub(crate) const CLOUDWATCH_DATA: Space = Space(410);
pub(crate) const CLOUDWATCH_METRICS: Space = Space(411);
pub(crate) const CLOUDWATCH_ALARMS: Space = Space(412);

pub(crate) const AUTOSCALING_TARGETS: Space = Space(420);
pub(crate) const AUTOSCALING_POLICIES: Space = Space(421);
pub(crate) const AUTOSCALING_ACTIONS: Space = Space(422);
pub(crate) const AUTOSCALING_ACTIVITIES: Space = Space(423);
