//! The resource types that can be deployed, with their properties and attributes.
//!
//! These are the plain types; SAM's are expanded into them (see `sam`).

use super::schema::{
    Schema,
    Shape::{self, Any, Flag, Integer, List, Map, Text},
};

/// One kind of resource, by which the deployer picks its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Function,
    Version,
    Alias,
    Permission,
    Url,
    EventInvoke,
    Layer,
    Bucket,
    Notifications,
    Api,
    Integration,
    Route,
    Stage,
    LogGroup,
    Mapping,
    Queue,
    QueuePolicy,
    /// Roles and policies: named so that they can be referred to, and not enforced yet.
    Identity,
}

pub(crate) struct Type {
    pub(crate) kind: Kind,
    pub(crate) schema: Schema,
    /// What `Fn::GetAtt` may ask for.
    pub(crate) attributes: &'static [&'static str],
}

/// What a bucket tells functions about. A resource of its own, made after the bucket, the function and the
/// permission, so that a function may name the bucket that calls it without the three waiting for each other.
pub(crate) const NOTIFICATIONS: &str = "Mayfly::S3::Notifications";

/// The attribute that changes with every update of a function; what versions are published by.
pub(crate) const REVISION: &str = "Mayfly::Revision";

pub(crate) fn find(name: &str) -> Option<&'static Type> {
    TYPES.iter().find(|kind| kind.schema.name == name)
}

/// The plain types a template may name.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|kind| kind.schema.name).filter(|name| *name != NOTIFICATIONS)
}

const fn of(
    kind: Kind,
    name: &'static str,
    required: &'static [&'static str],
    applied: &'static [(&'static str, Shape)],
    ignored: &'static [&'static str],
    attributes: &'static [&'static str],
) -> Type {
    Type { kind, schema: Schema { name, required, applied, ignored }, attributes }
}

static TYPES: &[Type] = &[
    of(
        Kind::Function,
        "AWS::Lambda::Function",
        &["Code"],
        &[
            ("FunctionName", Text),
            ("Description", Text),
            ("Runtime", Text),
            ("Handler", Text),
            ("Code", Any),
            ("MemorySize", Integer),
            ("Timeout", Integer),
            ("Environment", Map),
            ("EphemeralStorage", Map),
            ("Layers", List),
            ("Role", Text),
            ("Architectures", List),
            ("ReservedConcurrentExecutions", Integer),
            ("DeadLetterConfig", Map),
            ("PackageType", Text),
            ("Tags", Any),
        ],
        &[
            "CodeSigningConfigArn",
            "FileSystemConfigs",
            "ImageConfig",
            "KmsKeyArn",
            "LoggingConfig",
            "RecursiveLoop",
            "RuntimeManagementConfig",
            "SnapStart",
            "TracingConfig",
            "VpcConfig",
        ],
        &["Arn", REVISION],
    ),
    of(
        Kind::Version,
        "AWS::Lambda::Version",
        &["FunctionName"],
        &[("FunctionName", Text), ("Description", Text), ("CodeSha256", Text), (REVISION, Text)],
        &["ProvisionedConcurrencyConfig", "RuntimePolicy"],
        &["Version", "FunctionArn"],
    ),
    of(
        Kind::Alias,
        "AWS::Lambda::Alias",
        &["FunctionName", "FunctionVersion", "Name"],
        &[
            ("FunctionName", Text),
            ("FunctionVersion", Text),
            ("Name", Text),
            ("Description", Text),
            ("RoutingConfig", Map),
        ],
        &["ProvisionedConcurrencyConfig"],
        &["AliasArn"],
    ),
    of(
        Kind::Permission,
        "AWS::Lambda::Permission",
        &["Action", "FunctionName", "Principal"],
        &[
            ("Action", Text),
            ("FunctionName", Text),
            ("Principal", Text),
            ("SourceArn", Text),
            ("SourceAccount", Text),
            ("FunctionUrlAuthType", Text),
            ("EventSourceToken", Text),
            ("PrincipalOrgID", Text),
        ],
        &["InvokedViaFunctionUrl"],
        &["Id"],
    ),
    of(
        Kind::Url,
        "AWS::Lambda::Url",
        &["TargetFunctionArn", "AuthType"],
        &[
            ("TargetFunctionArn", Text),
            ("AuthType", Text),
            ("Cors", Map),
            ("InvokeMode", Text),
            ("Qualifier", Text),
        ],
        &[],
        &["FunctionUrl", "FunctionArn"],
    ),
    of(
        Kind::EventInvoke,
        "AWS::Lambda::EventInvokeConfig",
        &["FunctionName", "Qualifier"],
        &[
            ("FunctionName", Text),
            ("Qualifier", Text),
            ("MaximumEventAgeInSeconds", Integer),
            ("MaximumRetryAttempts", Integer),
            ("DestinationConfig", Map),
        ],
        &[],
        &[],
    ),
    of(
        Kind::Layer,
        "AWS::Lambda::LayerVersion",
        &["Content"],
        &[
            ("Content", Any),
            ("LayerName", Text),
            ("Description", Text),
            ("CompatibleRuntimes", List),
            ("CompatibleArchitectures", List),
            ("LicenseInfo", Text),
        ],
        &[],
        &["LayerVersionArn"],
    ),
    of(
        Kind::Bucket,
        "AWS::S3::Bucket",
        &[],
        &[("BucketName", Text), ("VersioningConfiguration", Map), ("CorsConfiguration", Map), ("Tags", List)],
        &[
            "AccelerateConfiguration",
            "AccessControl",
            "AnalyticsConfigurations",
            "BucketEncryption",
            "IntelligentTieringConfigurations",
            "InventoryConfigurations",
            "LifecycleConfiguration",
            "LoggingConfiguration",
            "MetricsConfigurations",
            "OwnershipControls",
            "PublicAccessBlockConfiguration",
        ],
        &["Arn", "DomainName", "RegionalDomainName", "DualStackDomainName"],
    ),
    of(
        Kind::Notifications,
        NOTIFICATIONS,
        &["Bucket", "Functions"],
        &[("Bucket", Text), ("Functions", List)],
        &[],
        &[],
    ),
    of(
        Kind::Api,
        "AWS::ApiGatewayV2::Api",
        &[],
        &[
            ("Name", Text),
            ("ProtocolType", Text),
            ("Description", Text),
            ("CorsConfiguration", Map),
            ("RouteKey", Text),
            ("Target", Text),
            ("RouteSelectionExpression", Text),
            ("Version", Text),
            ("DisableExecuteApiEndpoint", Flag),
            ("Tags", Map),
        ],
        &["FailOnWarnings", "IpAddressType", "CredentialsArn"],
        &["ApiEndpoint", "ApiId"],
    ),
    of(
        Kind::Integration,
        "AWS::ApiGatewayV2::Integration",
        &["ApiId", "IntegrationType"],
        &[
            ("ApiId", Text),
            ("IntegrationType", Text),
            ("IntegrationUri", Text),
            ("IntegrationMethod", Text),
            ("PayloadFormatVersion", Text),
            ("TimeoutInMillis", Integer),
            ("Description", Text),
            ("ConnectionType", Text),
        ],
        &["CredentialsArn"],
        &["IntegrationId"],
    ),
    of(
        Kind::Route,
        "AWS::ApiGatewayV2::Route",
        &["ApiId", "RouteKey"],
        &[
            ("ApiId", Text),
            ("RouteKey", Text),
            ("Target", Text),
            ("OperationName", Text),
            ("AuthorizationType", Text),
        ],
        &[],
        &["RouteId"],
    ),
    of(
        Kind::Stage,
        "AWS::ApiGatewayV2::Stage",
        &["ApiId", "StageName"],
        &[
            ("ApiId", Text),
            ("StageName", Text),
            ("AutoDeploy", Flag),
            ("Description", Text),
            ("StageVariables", Map),
            ("DefaultRouteSettings", Map),
            ("RouteSettings", Map),
            ("Tags", Map),
        ],
        &["AccessLogSettings", "AccessPolicyId", "ClientCertificateId"],
        &[],
    ),
    of(
        Kind::LogGroup,
        "AWS::Logs::LogGroup",
        &[],
        &[("LogGroupName", Text), ("RetentionInDays", Integer), ("Tags", List)],
        &["DataProtectionPolicy", "FieldIndexPolicies", "KmsKeyId", "LogGroupClass"],
        &["Arn"],
    ),
    of(
        Kind::Mapping,
        "AWS::Lambda::EventSourceMapping",
        &["FunctionName", "EventSourceArn"],
        &[
            ("FunctionName", Text),
            ("EventSourceArn", Text),
            ("BatchSize", Integer),
            ("Enabled", Flag),
            ("FilterCriteria", Map),
            ("FunctionResponseTypes", List),
            ("MaximumBatchingWindowInSeconds", Integer),
            ("ScalingConfig", Map),
            ("Tags", List),
        ],
        &["LoggingConfig", "MetricsConfig", "ProvisionedPollerConfig"],
        &["Id", "EventSourceMappingArn"],
    ),
    of(
        Kind::Queue,
        "AWS::SQS::Queue",
        &[],
        &[
            ("QueueName", Text),
            ("FifoQueue", Flag),
            ("ContentBasedDeduplication", Flag),
            ("DeduplicationScope", Text),
            ("DelaySeconds", Integer),
            ("FifoThroughputLimit", Text),
            ("MaximumMessageSize", Integer),
            ("MessageRetentionPeriod", Integer),
            ("ReceiveMessageWaitTimeSeconds", Integer),
            ("RedriveAllowPolicy", Any),
            ("RedrivePolicy", Any),
            ("VisibilityTimeout", Integer),
            ("Tags", List),
        ],
        &["KmsDataKeyReusePeriodSeconds", "KmsMasterKeyId", "SqsManagedSseEnabled"],
        &["Arn", "QueueName", "QueueUrl"],
    ),
    of(
        Kind::QueuePolicy,
        "AWS::SQS::QueuePolicy",
        &["Queues", "PolicyDocument"],
        &[("Queues", List), ("PolicyDocument", Any)],
        &[],
        &["Id"],
    ),
    of(
        Kind::Identity,
        "AWS::IAM::Role",
        &[],
        &[
            ("RoleName", Text),
            ("AssumeRolePolicyDocument", Any),
            ("Description", Text),
            ("ManagedPolicyArns", List),
            ("MaxSessionDuration", Integer),
            ("Path", Text),
            ("PermissionsBoundary", Text),
            ("Policies", List),
            ("Tags", List),
        ],
        &[],
        &["Arn", "RoleId"],
    ),
    of(
        Kind::Identity,
        "AWS::IAM::Policy",
        &[],
        &[("PolicyName", Text), ("PolicyDocument", Any), ("Groups", List), ("Roles", List), ("Users", List)],
        &[],
        &["Id"],
    ),
    of(
        Kind::Identity,
        "AWS::IAM::ManagedPolicy",
        &[],
        &[
            ("ManagedPolicyName", Text),
            ("PolicyDocument", Any),
            ("Description", Text),
            ("Groups", List),
            ("Path", Text),
            ("Roles", List),
            ("Users", List),
        ],
        &[],
        &["PolicyArn"],
    ),
];
